/**
 * The settings of tcpcopy's loop, grouped by the part that uses them. One object goes from the command line to the
 * sessions.
 */
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
