// The oldest JupyterLab and the newest Jupyter Notebook, as `npm run test:matrix` has installed them.

import {
  type Browser,
  expect,
  type Locator,
  type Page,
  test
} from '@playwright/test';
import { type ChildProcess, spawn } from 'child_process';
import { once } from 'events';
import { mkdirSync, mkdtempSync, rmSync } from 'fs';
import { createServer, type AddressInfo } from 'net';
import { tmpdir } from 'os';
import { basename, delimiter, join } from 'path';
import { KernelDialog, runCommand } from './fixtures';

const STARTS = { timeout: 180_000 };
const MATRIX = (process.env.PYSPARK_KERNELS_TEST_MATRIX ?? '')
  .split(delimiter)
  .filter(path => path !== '');

test.skip(MATRIX.length === 0, 'npm run test:matrix installs what is needed.');

/** A server of its own. */
interface IServer {
  url: string;
  process: ChildProcess;
  folder: string;
}

let server: IServer;

async function freePort(): Promise<number> {
  const probe = createServer().listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const { port } = probe.address() as AddressInfo;
  probe.close();
  await once(probe, 'close');
  return port;
}

async function start(environment: string, program: string): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'pyspark-kernels-labs-'));
  const root = join(folder, 'root');
  mkdirSync(root);
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  const options = [
    '--no-browser',
    '--allow-root',
    '--IdentityProvider.token=',
    '--ServerApp.port_retries=0',
    `--ServerApp.port=${port}`,
    `--ServerApp.root_dir=${root}`
  ];
  const process_ = spawn(join(found(environment), 'bin', program), options, {
    stdio: 'ignore',
    env: {
      ...process.env,
      JUPYTER_DATA_DIR: join(folder, 'data'),
      JUPYTER_CONFIG_DIR: join(folder, 'config'),
      JUPYTER_RUNTIME_DIR: join(folder, 'runtime'),
      JUPYTERLAB_SETTINGS_DIR: join(folder, 'settings'),
      JUPYTERLAB_WORKSPACES_DIR: join(folder, 'workspaces')
    }
  });
  server = { url, process: process_, folder };
  await expect
    .poll(async () => {
      expect(process_.exitCode).toBeNull();
      return fetch(`${url}/api/status`).then(
        ({ status }) => status,
        () => 0
      );
    }, STARTS)
    .toBe(200);
}

test.afterEach(async () => {
  server.process.kill('SIGTERM');
  if (server.process.exitCode === null) {
    await once(server.process, 'exit');
  }
  rmSync(server.folder, { recursive: true, force: true });
});

/** A page, and the errors of ours: those of JupyterLab and Notebook are there without us. */
async function opened(
  browser: Browser,
  path: string
): Promise<[Page, string[]]> {
  const context = await browser.newContext({
    viewport: { width: 1024, height: 768 }
  });
  const page = await context.newPage();
  const errors = listen(page);
  await page.goto(`${server.url}/${path}`);
  return [page, errors];
}

function listen(page: Page): string[] {
  const errors: string[] = [];
  const keep = (text: string, where = ''): void => {
    // The preview of what is wrong is refused, by which the form knows it.
    if (/pyspark/i.test(text + where) && !/\/preview\?/.test(where)) {
      errors.push(`${text} ${where}`);
    }
  };
  page.on('pageerror', error => keep(error.message, error.stack));
  page.on('console', message => {
    if (message.type() === 'error') {
      keep(message.text(), message.location().url);
    }
  });
  page.on('response', response => {
    if (response.status() >= 400) {
      keep(String(response.status()), response.url());
    }
  });
  return errors;
}

/** The first environment of the matrix whose name begins so. */
function found(name: string): string {
  const path = MATRIX.find(path => basename(path).startsWith(name));
  if (path === undefined) {
    throw new Error(`There is no ${name} in ${MATRIX.join(', ')}.`);
  }
  return path;
}

/** Describe a kernel and create it. */
async function create(page: Page, name: string): Promise<void> {
  const dialog = new KernelDialog(page);
  await expect(dialog.field('Name')).toBeFocused();
  await dialog.type('Name', name);
  await dialog.type('Python environment', found('spark-'));
  // What is wrong is told by the form of this version, too.
  await dialog.type('Master', 'nonsense');
  await expect(dialog.around('master')).toContainText('nonsense');
  await dialog.type('Master', 'local[2]');
  await expect(dialog.around('master')).not.toContainText('nonsense');
  await page.screenshot({ path: test.info().outputPath('dialog.png') });
  await dialog.create();
  await expect(dialog.root).toBeHidden();
}

/** Run Spark in a notebook, and see that its toolbar tells how it is. */
async function runSpark(page: Page): Promise<void> {
  await expect(
    page.locator('.jp-Notebook-ExecutionIndicator[data-status="idle"]')
  ).toBeVisible(STARTS);
  const cell = page.locator('.jp-Notebook .jp-CodeCell').first();
  await cell.locator('.cm-content').click();
  await page.keyboard.type('spark.range(1000).count()');
  await expect(async () => {
    // While the notebook still connects nothing is run.
    await page.keyboard.press('Control+Enter');
    await expect(cell.locator('.jp-InputPrompt')).not.toHaveText('[ ]:', {
      timeout: 5_000
    });
  }).toPass(STARTS);
  await expect(page.locator('.jp-OutputArea-executeResult')).toContainText(
    '1000',
    STARTS
  );
  const indicator = page.locator('.jp-NotebookPanel-toolbar, .jp-Toolbar', {
    hasText: 'Spark'
  });
  await expect(indicator.first()).toBeVisible(STARTS);
  await page.screenshot({ path: test.info().outputPath('notebook.png') });
}

/** Show the kernels from the menu of a notebook. */
async function showKernels(page: Page): Promise<void> {
  await page.getByRole('menuitem', { name: 'Kernel', exact: true }).click();
  await page
    .getByRole('menuitem', { name: 'PySpark Kernels', exact: true })
    .click();
}

const manager = (page: Page): Locator =>
  page.locator('.jp-PySparkKernels-Manager');

test('the oldest JupyterLab has all of it', async ({ browser }) => {
  test.setTimeout(600_000);
  await start('server-oldest', 'jupyter-lab');
  const [page, errors] = await opened(browser, 'lab');
  const tile = page.locator('.jp-LauncherCard', {
    hasText: 'Create PySpark Kernel'
  });
  await expect(tile).toBeVisible(STARTS);
  await expect(page.locator('#jupyterlab-splash')).toHaveCount(0, STARTS);
  await tile.click();
  await create(page, 'Of The Oldest');

  // The notification that has the button does not stay.
  await page.getByRole('button', { name: 'Open a Notebook' }).click();
  await runSpark(page);

  await showKernels(page);
  await expect(manager(page)).toContainText('Of The Oldest');
  await page.screenshot({ path: test.info().outputPath('manager.png') });
  expect(errors).toEqual([]);
});

test('Jupyter Notebook has a way to each part', async ({ browser }) => {
  test.setTimeout(600_000);
  await start('server-newest', 'jupyter-notebook');
  const [page, errors] = await opened(browser, 'tree');
  await page.getByRole('menuitem', { name: 'File', exact: true }).click(STARTS);
  await page.locator('.lm-Menu').getByText('New', { exact: true }).hover();
  await page.getByRole('menuitem', { name: /Create PySpark Kernel/ }).click();
  await create(page, 'Of Notebook');

  // The panel is a tab beside the files, and comes again to the front.
  for (let times = 0; times < 2; times++) {
    await runCommand(page, 'PySpark Kernels');
    await expect(manager(page)).toContainText('Of Notebook');
    await expect(
      page.getByRole('tab', { name: 'PySpark Kernels' })
    ).toHaveCount(1);
    await page.screenshot({ path: test.info().outputPath('manager.png') });
    await page.getByRole('tab', { name: 'Files' }).click();
    await expect(manager(page)).toBeHidden();
  }

  const popup = page.waitForEvent('popup');
  await page.getByRole('menuitem', { name: 'New', exact: true }).click();
  await page.getByRole('menuitem', { name: 'Of Notebook' }).click();
  const notebook = await popup;
  const more = listen(notebook);
  await expect(notebook.locator('.jp-Notebook')).toBeVisible(STARTS);
  await runSpark(notebook);

  const spark = notebook.waitForEvent('popup');
  await notebook.getByRole('button', { name: /Spark UI/ }).click();
  await expect((await spark).getByText('Spark Jobs').first()).toBeVisible(
    STARTS
  );

  // Beside the notebook, which fills the page.
  await showKernels(notebook);
  await expect(manager(notebook)).toContainText('Of Notebook');
  await notebook.screenshot({ path: test.info().outputPath('beside.png') });
  expect([...errors, ...more]).toEqual([]);
});
