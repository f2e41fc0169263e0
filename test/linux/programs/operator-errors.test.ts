/** Operator errors: one message that says what is wrong and what to do, exit status 1, and nothing left behind. */
import assert from 'node:assert/strict'
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import {
  ASSISTANT,
  type CopyLab,
  INTERCEPT,
  MAP,
  openCopyLab,
  SOURCE,
  startReady,
  TARGET,
  TCPCOPY
} from '../../../lab/hosts/copy-lab.ts'
import type { Host } from '../../../lab/hosts/host.ts'
import { stopCleanly, until } from '../support/waiting.ts'

const TO_ASSISTANT = ['-s', ASSISTANT]
const ANSWERS = ['-i', 'eth0', '-F', 'tcp and src port 6379']

/** Runs a program that must refuse to start. @returns its message, with the hint in the second line */
async function refusal(lab: CopyLab, host: Host, command: readonly string[]): Promise<string> {
  const [program = '', ...args] = command
  const before = readdirSync(lab.folder)
  const { status, signal, stdout, stderr } = await host.run(program, args)
  assert.deepEqual(
    { status, signal, stdout },
    { status: 1, signal: null, stdout: '' },
    `${command.join(' ')}\n${stderr}`
  )
  assert.match(stderr, /^(?:tcpcopy|intercept): .+\n {2}\S.*\n$/, stderr)
  assert.deepEqual(readdirSync(lab.folder), before)
  assert.equal((await host.mustRun('ss', ['-H', '-ltn'])).trim(), '')
  return stderr
}

/** Checks the message of every case; a failure names its options. */
async function assertRefusals(
  lab: CopyLab,
  host: Host,
  program: string,
  cases: readonly (readonly [readonly string[], RegExp])[]
): Promise<void> {
  for (const [args, expected] of cases) {
    assert.match(await refusal(lab, host, [program, ...args]), expected, args.join(' '))
  }
}

test('tcpcopy refuses wrong and contradictory options', async () => {
  await using lab = await openCopyLab()
  await lab.hosts.source.mustRun('ip', ['link', 'add', 'idle0', 'type', 'veth', 'peer', 'name', 'idle1'])
  await assertRefusals(lab, lab.hosts.source, TCPCOPY, [
    [TO_ASSISTANT, /the option --map is missing\n.*-x/],
    [['-x', MAP], /the option --intercept is missing\n.*-s/],
    [['-x', '80', ...TO_ASSISTANT], /--map: invalid value "80"/],
    [['-x', `80-${TARGET}`, ...TO_ASSISTANT], /--map: invalid value "80-10\.77\.0\.2"/],
    [['-x', `0-${TARGET}:80`, ...TO_ASSISTANT], /source port: invalid value "0"/],
    [['-x', `80-${TARGET}:65536`, ...TO_ASSISTANT], /target port: invalid value "65536"/],
    [['-x', `300.1.1.1:80-${TARGET}:80`, ...TO_ASSISTANT], /300\.1\.1\.1/],
    [['-x', `80-${TARGET}:80@02:00:00:00:01`, ...TO_ASSISTANT], /Expected the MAC address of a device/],
    [
      ['-x', `80-${TARGET}:80@02:00:00:00:00:01`, ...TO_ASSISTANT, '--send', 'ip'],
      /--send ip cannot be used with @mac\n.*--send ip/
    ],
    [['-x', MAP, ...TO_ASSISTANT, '-o', 'eth9'], /no network device eth9\n.*eth0/],
    [['-x', MAP, ...TO_ASSISTANT, '-o', 'lo'], /the device lo is not an Ethernet device\n.*Name an Ethernet device/],
    [['-x', MAP, ...TO_ASSISTANT, '-o', 'idle0'], /the device idle0 is down\n.*ip link set idle0 up/],
    [['-x', MAP, ...TO_ASSISTANT, '--capture', 'ip', '-i', 'eth0'], /--capture ip cannot be used with -i\n/],
    [['-x', `80-${TARGET}:80,80-${TARGET}:80`, ...TO_ASSISTANT], /copies the same connections twice to one target/],
    [
      ['-x', `80-${TARGET}:80`, '-x', `${SOURCE}:80-${TARGET}:80`, ...TO_ASSISTANT],
      /copies the same connections twice to one target/
    ],
    [['-x', `80-${SOURCE}:80`, ...TO_ASSISTANT], /loop/],
    [['-x', '80-no-such-host.invalid:80', ...TO_ASSISTANT], /no-such-host\.invalid/],
    [['-x', MAP, '-s', 'no-such-host.invalid'], /no-such-host\.invalid/],
    [['-x', MAP, '-s', `${ASSISTANT}:0`], /port: invalid value "0"/],
    [['-x', MAP, ...TO_ASSISTANT, '-c', '10.0.0.1/24'], /10\.0\.0\.0\/24/],
    [['-x', MAP, ...TO_ASSISTANT, '-t', 'soon'], /--timeout: invalid value "soon"/],
    [['-x', MAP, ...TO_ASSISTANT, '-C', '12'], /--connections: invalid value "12"/],
    [['-x', MAP, ...TO_ASSISTANT, '-i', 'eth9'], /no network device eth9, and no file with that name\n.*eth0/],
    [['-x', MAP, ...TO_ASSISTANT, '-i', 'eth0,eth9'], /no network device eth9\n.*eth0/],
    [['-x', MAP, ...TO_ASSISTANT, '-i', './eth0'], /\.\/eth0.*no such file/],
    [['-x', MAP, ...TO_ASSISTANT, '-F', 'tcp and and'], /tcp and and/],
    [
      ['-x', MAP, ...TO_ASSISTANT, '-F', 'vlan 5'],
      /invalid filter "vlan 5": packets arrive without their VLAN tag\n.*-i/
    ],
    [['-x', MAP, ...TO_ASSISTANT, '-i', 'eth0', '-F', 'vlan five'], /invalid filter "vlan five"/],
    [['-x', MAP, ...TO_ASSISTANT, '-S', '60'], /--snap-length: invalid value "60"/],
    [['record', '-x', '80', '-o', '/nowhere', '-i', './file'], /-i names a file/],
    [['-x', MAP, ...TO_ASSISTANT, '--trace', 'some'], /--trace: invalid value "some"/],
    [['-x', MAP, ...TO_ASSISTANT, '--statistics-interval', '-1'], /--statistics-interval/],
    [['-x', MAP, ...TO_ASSISTANT, '--log-format', 'xml'], /xml/],
    [['-x', MAP, ...TO_ASSISTANT, '--no-such-option'], /unknown option '--no-such-option'/],
    [['-x', MAP, ...TO_ASSISTANT, 'extra'], /argument/],
    [[SOURCE, '80', TARGET, '80', '-x', MAP], /--map cannot be used with the arguments/],
    [['-x'], /argument missing/]
  ])
})

test('intercept refuses wrong options, a missing device, and a filter that does not compile', async () => {
  await using lab = await openCopyLab()
  await assertRefusals(lab, lab.hosts.assistant, INTERCEPT, [
    [[], /the option --filter is missing\n.*-F/],
    [['-F', 'tcp and and'], /tcp and and/],
    [['-i', 'eth0', '-F', 'port http-no-such'], /http-no-such/],
    [['-i', 'eth9', '-F', 'tcp'], /eth9/],
    [['-i', 'eth0,eth9', '-F', 'tcp'], /eth9/],
    [[...ANSWERS, '-p', '70000'], /--port: invalid value "70000"/],
    [[...ANSWERS, '-b', 'no-such-host.invalid'], /no-such-host\.invalid/],
    [[...ANSWERS, '-b', '192.0.2.1'], /192\.0\.2\.1/],
    [[...ANSWERS, '-n', '17'], /--headers: invalid value "17"/],
    [[...ANSWERS, '-s', '0'], /--delay-table: invalid value "0"/],
    [[...ANSWERS, '-x', '10.0.0.1'], /-x requires --nfqueue\n.*--nfqueue/],
    [[...ANSWERS, '-q', '100'], /-q requires --nfqueue/],
    [['--nfqueue', '-i', 'eth0'], /--device cannot be used with --nfqueue/],
    [['--nfqueue', '-F', 'tcp'], /--filter has no effect.*\n.*--manage-rules/],
    [['--nfqueue', '--manage-rules'], /the option --filter is missing/],
    [['--nfqueue', '-q', '0'], /--queue-length: invalid value "0"/],
    [['--nfqueue', '--queue-number', '65536'], /--queue-number: invalid value "65536"/],
    [['--nfqueue', '-x', 'someone'], /--pass: invalid value "someone"/],
    [['-F', 'tcp', '--manage-rules'], /no firewall rule can be made from the filter "tcp": it has no src port\n/],
    [['-F', 'tcp and src port 80', '--manage-rules', '--firewall', 'ufw'], /ufw/]
  ])
})

test('intercept reports a port in use, and the program that has it keeps running', async () => {
  await using lab = await openCopyLab()
  const { assistant } = lab.hosts
  const pidFile = join(lab.folder, 'pid')
  const first = await startReady(assistant, INTERCEPT, [...ANSWERS, '-P', pidFile])
  const { status, stderr } = await assistant.run(INTERCEPT, ANSWERS)
  assert.equal(status, 1)
  assert.match(stderr, /^intercept: .*36524.*\n {2}\S.*\n$/)
  assert.equal(first.exit, undefined)
  assert.equal(readFileSync(pidFile, 'utf8'), `${first.pid}\n`)
})

test('a configuration file is read, and a message says what is wrong in a faulty one', async () => {
  await using lab = await openCopyLab()
  const { source } = lab.hosts
  const path = join(lab.folder, 'tcpcopy.toml')
  for (const [text, expected] of [
    ['map = [', /tcpcopy\.toml is not valid TOML: line 1, column \d+: unfinished array\n/],
    [`mapp = "${MAP}"`, /contains an unknown option "mapp"/],
    ['map = true', /"map" has a value of the wrong type\n.*string/],
    ['daemon = "yes"', /"daemon" has a value of the wrong type\n.*true or false/],
    [`map = "${MAP}"\nintercept = "${ASSISTANT}"\ntimeout = "soon"`, /--timeout: invalid value "soon"/]
  ] as const) {
    writeFileSync(path, text)
    assert.match(await refusal(lab, source, [TCPCOPY, '--config', path]), expected)
  }
  assert.match(await refusal(lab, source, [TCPCOPY, '--config', `${path}.gone`]), /tcpcopy\.toml\.gone cannot be read/)

  writeFileSync(path, `map = ["${MAP}"]\nintercept = "${ASSISTANT}"\ntimeout = 60\nlog-format = "json"\nwait = false\n`)
  const tcpcopy = await startReady(source, TCPCOPY, ['--config', path])
  await stopCleanly(tcpcopy)
})

test('the message about a log or pid file that cannot be written names its path', async () => {
  await using lab = await openCopyLab()
  const { source, assistant } = lab.hosts
  const folder = join(lab.folder, 'taken')
  mkdirSync(folder)
  for (const [host, command] of [
    [source, [TCPCOPY, '-x', MAP, ...TO_ASSISTANT]],
    [assistant, [INTERCEPT, ...ANSWERS]]
  ] as const) {
    for (const option of ['-l', '-P']) {
      for (const path of [`${lab.folder}/no/such/file`, folder]) {
        assert.ok((await refusal(lab, host, [...command, option, path])).includes(path))
      }
    }
    // The same in the background.
    const { status, stderr } = await host.run(command[0] ?? '', [...command.slice(1), '-d', '-l', folder])
    assert.equal(status, 1)
    assert.ok(stderr.includes(folder), stderr)
  }
  assert.ok(existsSync(folder))
})

test('missing privileges are reported, with what to do', async () => {
  await using lab = await openCopyLab()
  const { source, assistant } = lab.hosts
  const without = ['setpriv', '--bounding-set=-net_raw', '--inh-caps=-net_raw', '--ambient-caps=-net_raw']
  const drop =
    process.getuid?.() === 0 ? [...without, '--'] : ['setpriv', '--inh-caps=-all', '--ambient-caps=-all', '--']
  for (const [host, command] of [
    [source, [TCPCOPY, '-x', MAP, ...TO_ASSISTANT]],
    [assistant, [INTERCEPT, ...ANSWERS]]
  ] as const) {
    assert.match(await refusal(lab, host, [...drop, ...command]), /CAP_NET_RAW|root/)
  }
  const isRoot = process.getuid?.() === 0
  const withoutAdmin = isRoot ? [...without.map((one) => one.replace('net_raw', 'net_admin')), '--'] : drop
  const queue = [INTERCEPT, '--nfqueue']
  assert.match(await refusal(lab, assistant, [...withoutAdmin, ...queue]), /queue 0.*EPERM.*\n.*CAP_NET_ADMIN/)
  const managed = [INTERCEPT, ...ANSWERS, '--manage-rules']
  const message = isRoot
    ? /rule cannot be installed: iptables: [^:]+: .+; nft: .+\n.*lacks CAP_NET_ADMIN/
    : /CAP_NET_RAW|root/
  assert.match(await refusal(lab, assistant, [...withoutAdmin, ...managed]), message)
})

test('a limit of open files that is too low is reported, wherever the program notices it', async () => {
  await using lab = await openCopyLab()
  const { source, assistant } = lab.hosts
  for (const [host, command] of [
    [source, [TCPCOPY, '-x', MAP, ...TO_ASSISTANT]],
    [assistant, [INTERCEPT, ...ANSWERS]]
  ] as const) {
    for (const files of [20, 64, 85]) {
      const limited = ['sh', '-c', `ulimit -n ${files}; exec "$@"`, 'sh', ...command]
      assert.match(await refusal(lab, host, limited), /may open .* files.*\n.*ulimit -n 1024/)
    }
  }
})

test('intercept refuses to start on a host that forwards what it captures, unless told otherwise', async () => {
  await using lab = await openCopyLab()
  const { assistant } = lab.hosts
  await assistant.mustRun('sh', ['-c', 'echo 1 > /proc/sys/net/ipv4/conf/eth0/forwarding'])
  for (const devices of [['-i', 'eth0'], []]) {
    const message = await refusal(lab, assistant, [INTERCEPT, ...devices, '-F', 'tcp'])
    assert.match(
      message,
      /forwards packets of eth0.*real clients\n.*net\.ipv4\.conf\.eth0\.forwarding=0.*--manage-rules.*--allow-forwarding/
    )
  }
  const allowed = await startReady(assistant, INTERCEPT, [...ANSWERS, '--allow-forwarding'])
  await stopCleanly(allowed)
  await assistant.mustRun('sh', ['-c', 'echo 0 > /proc/sys/net/ipv4/conf/eth0/forwarding'])
  const intercept = await startReady(assistant, INTERCEPT, ANSWERS)
  await until('it listens', async () => (await assistant.mustRun('ss', ['-H', '-ltn'])).includes(':36524'))
  await stopCleanly(intercept)
})

test('help and version are printed on stdout, with exit 0', async () => {
  await using lab = await openCopyLab()
  for (const program of [TCPCOPY, INTERCEPT]) {
    for (const [option, expected] of [
      ['-h', /--help/],
      ['--help', /--pid-file/],
      ['-v', /^\d+\.\d+\.\d+\n$/],
      ['--version', /^\d+\.\d+\.\d+\n$/]
    ] as const) {
      const { status, stdout, stderr } = await lab.hosts.client.run(program, [option])
      assert.deepEqual([status, stderr], [0, ''])
      assert.match(stdout, expected)
    }
  }
})
