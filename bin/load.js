/** Loads a program. Node opens many of its files at once, so a low limit of open files fails here first. */
export async function load(name, path) {
  // Before anything is loaded: by default, SIGUSR1 opens Node's inspector (src/cli/inspector.ts).
  process.on('SIGUSR1', () => {})
  try {
    await import(path)
  } catch (error) {
    if (error?.code !== 'EMFILE') throw error
    const hint = 'Raise the limit: ulimit -n 1024 (systemd: LimitNOFILE=1024).'
    process.stderr.write(`${name}: this process may open too few files to start\n  ${hint}\n`)
    process.exitCode = 1
  }
}
