// A real JupyterLab, started as a newcomer starts it, in the system's real Chromium.

import { defineConfig } from '@playwright/test';
import { mkdtempSync } from 'fs';
import { tmpdir } from 'os';
import { join, resolve } from 'path';

const port = process.env.PYSPARK_KERNELS_UI_PORT ?? '18899';
const url = `http://127.0.0.1:${port}`;
const reports = process.env.PYSPARK_KERNELS_REPORTS ?? 'test-results';
// Workers read this file again: only the first time makes the folder.
const folder = (process.env.PYSPARK_KERNELS_UI_FOLDER ??= mkdtempSync(
  join(tmpdir(), 'pyspark-kernels-ui-')
));
process.env.TARGET_URL = url;
process.env.PYSPARK_KERNELS_UI_TEMPLATES = join(folder, 'templates');
process.env.PYSPARK_KERNELS_WORKSPACE = resolve(__dirname, '../.dev/workspace');

export default defineConfig({
  testDir: 'tests',
  outputDir: join(reports, 'galata'),
  // How long a busy machine may take for anything.
  timeout: 240_000,
  expect: { timeout: 60_000 },
  // One server and one Spark at a time: the machine may have two cores.
  workers: 1,
  retries: 0,
  reporter: [['list'], ['json', { outputFile: join(reports, 'galata.json') }]],
  use: {
    baseURL: url,
    actionTimeout: 60_000,
    // Playwright's own ffmpeg, which videos need, is not in the system's Chromium.
    video: 'off',
    viewport: { width: 1024, height: 768 },
    launchOptions: {
      executablePath: process.env.CHROMIUM,
      args: [
        '--no-sandbox',
        '--disable-gpu',
        '--disable-quic',
        '--no-first-run',
        '--disable-background-networking',
        '--disable-component-update',
        '--disable-sync'
      ]
    }
  },
  webServer: {
    command:
      'node ../scripts/start.mjs --config ../ui-tests/jupyter_server_test_config.py',
    url: `${url}/lab`,
    timeout: 300_000,
    reuseExistingServer: false,
    gracefulShutdown: { signal: 'SIGTERM', timeout: 15_000 },
    env: {
      ...(process.env as Record<string, string>),
      PYSPARK_KERNELS_UI_PORT: port,
      JUPYTER_DATA_DIR: join(folder, 'data'),
      JUPYTER_CONFIG_DIR: join(folder, 'config'),
      JUPYTER_RUNTIME_DIR: join(folder, 'runtime'),
      JUPYTERLAB_SETTINGS_DIR: join(folder, 'settings'),
      JUPYTERLAB_WORKSPACES_DIR: join(folder, 'workspaces')
    }
  }
});
