// npm start: sets everything up in the checkout and opens JupyterLab with the extension.
// What follows `--` goes to JupyterLab: npm start -- --no-browser

import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { lab, labEnvironment, setup, WORKSPACE } from './setup.mjs';
import { DEV, main, say } from './tools.mjs';

/** Jupyter's own folders, in the checkout unless the caller has others: a trial leaves no trace. */
function jupyterFolders() {
  const folders = {
    JUPYTER_DATA_DIR: join(DEV, 'jupyter', 'data'),
    JUPYTER_CONFIG_DIR: join(DEV, 'jupyter', 'config')
  };
  return Object.fromEntries(
    Object.entries(folders).map(([name, path]) => [
      name,
      process.env[name] ?? path
    ])
  );
}

function openLab() {
  const asRoot = process.getuid?.() === 0 ? ['--allow-root'] : [];
  const args = [
    `--ServerApp.root_dir=${WORKSPACE}`,
    ...asRoot,
    ...process.argv.slice(2)
  ];
  const server = spawn(lab('jupyter'), ['lab', ...args], {
    env: { ...process.env, ...labEnvironment(), ...jupyterFolders() },
    stdio: 'inherit'
  });
  for (const signal of ['SIGINT', 'SIGTERM']) {
    // The server gets the same signal from the terminal, or from here, and ends in order.
    process.on(signal, () => server.kill(signal));
  }
  return new Promise(resolve => server.on('exit', code => resolve(code ?? 1)));
}

await main(() => {
  setup();
  say('Opening JupyterLab: choose “Create PySpark Kernel” in the launcher');
  return openLab();
});
