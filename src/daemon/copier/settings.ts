/** All that the operator chose for tcpcopy's loop, by owner: one object from the command line to the session. */
import type { CopySettings } from '../../core/sessions/assembly.ts'
import type { InterceptSettings } from '../channel/channel-client.ts'
import type { ChannelOptions } from '../channel/negotiation.ts'
import type { SizeLimits } from './packet-max.ts'

interface ChannelSettings extends InterceptSettings {
  readonly options: ChannelOptions
}

export interface CopierSettings extends CopySettings {
  readonly packets: SizeLimits
  readonly channel: ChannelSettings
}
