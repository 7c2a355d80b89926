// A real JupyterHub: one person shares a kernel, and others see it and run Spark with it.

import { expect, type Locator, type Page, test } from '@playwright/test';
import { type ChildProcess, spawn } from 'child_process';
import { once } from 'events';
import { resolve } from 'path';
import { KernelDialog, WORKSPACE } from './fixtures';

const STARTS = { timeout: 180_000 };

/** What server/tests/hub.py tells of the hub that it has started. */
interface IHub {
  /** Why this machine cannot have one; nothing else is told then. */
  reason?: string;
  url: string;
  /** The kernels directory that all users have in common. */
  shared: string;
  /** The Spark cluster's address, and that of its page. */
  master: string;
  web: string;
  /** The first may share, and the others may not. */
  members: { name: string; password: string }[];
}

let server: ChildProcess;
let hub: IHub;

test.beforeAll(async () => {
  test.setTimeout(STARTS.timeout);
  const python = resolve(WORKSPACE, '../lab/bin/python');
  const script = resolve(__dirname, '../../server/tests/hub.py');
  server = spawn(python, [script], {
    stdio: ['pipe', 'pipe', 'inherit'],
    env: {
      ...process.env,
      PYSPARK_KERNELS_TEST_ENVIRONMENT: `${WORKSPACE}/.venv`
    }
  });
  const [told] = await Promise.race([
    once(server.stdout!, 'data'),
    once(server, 'exit')
  ]);
  expect(String(told), 'The hub ended; its messages are above.').toMatch(/^{/);
  hub = JSON.parse(told);
  test.skip(hub.reason !== undefined, hub.reason);
});

test.afterAll(async () => {
  if (server.exitCode === null) {
    // It ends with its input, and takes all servers and users along.
    server.stdin!.end();
    await once(server, 'exit');
  }
});

test('one person shares a kernel, and others run Spark with it', async ({
  browser,
  request
}) => {
  test.setTimeout(600_000);
  const [ada, ben, cyd] = hub.members;

  const hers = await (await browser.newContext()).newPage();
  await logIn(hers, ada);
  const dialog = new KernelDialog(hers);
  // A hub with templates asks for one first.
  await dialog.open('Template');
  await dialog.field('Name').fill('Team Spark');
  await dialog.field('Master').fill(hub.master);
  await dialog.field('Executor memory').fill('512m');
  await dialog
    .around('place')
    .getByRole('combobox')
    .selectOption(`Everyone who uses ${hub.shared}`);
  await dialog.create();
  await expect(dialog.root).toBeHidden();
  await expect(tile(hers, 'Team Spark')).toBeVisible(STARTS);
  await hers.context().close();

  const his = await (await browser.newContext()).newPage();
  await logIn(his, ben);
  await tile(his, 'Team Spark').click();
  await expect(
    his.getByRole('button', { name: 'Team Spark | Idle' })
  ).toBeVisible(STARTS);
  await his.locator('.jp-CodeCell .cm-content').first().click();
  await his.keyboard.type(
    'spark.sparkContext.sparkUser(), spark.range(1000).count()'
  );
  await his.keyboard.press('Shift+Enter');
  await expect(his.locator('.jp-OutputArea-executeResult')).toContainText(
    `('${ben.name}', 1000)`,
    STARTS
  );
  const { activeapps } = await (await request.get(`${hub.web}/json/`)).json();
  expect(activeapps.map(({ user }: { user: string }) => user)).toEqual([
    ben.name
  ]);

  // He may not share one himself, and is told so before he tries.
  await his.getByRole('menuitem', { name: 'Kernel' }).click();
  await his.getByRole('menuitem', { name: /Create PySpark Kernel/ }).click();
  const own = new KernelDialog(his);
  const place = own.around('place');
  await expect(
    place.getByRole('option', { name: `Everyone who uses ${hub.shared}` })
  ).toBeDisabled();
  await place.getByText('Why some directories cannot be chosen').click();
  await expect(place).toContainText('among those who may share kernels');

  // One of his own is his alone.
  await own.field('Name').fill('Mine Alone');
  await own.create();
  await expect(own.root).toBeHidden();
  await his.getByRole('menuitem', { name: 'File' }).click();
  await his.getByRole('menuitem', { name: 'New Launcher' }).click();
  await expect(tile(his, 'Mine Alone')).toBeVisible(STARTS);
  await his.screenshot({ path: test.info().outputPath('ben.png') });

  const theirs = await (await browser.newContext()).newPage();
  await logIn(theirs, cyd);
  await expect(tile(theirs, 'Team Spark')).toBeVisible(STARTS);
  await expect(tile(theirs, 'Python 3 (ipykernel)')).toBeVisible();
  await expect(tile(theirs, 'Mine Alone')).toHaveCount(0);
  await theirs.screenshot({ path: test.info().outputPath('cyd.png') });
  await theirs.context().close();
  await his.context().close();
});

/** A kernel's tile for notebooks in the launcher. */
function tile(page: Page, label: string): Locator {
  return page
    .locator('.jp-LauncherCard[data-category="Notebook"]')
    .filter({ hasText: label });
}

/** Log in at the hub, and wait for the launcher of the user's own JupyterLab. */
async function logIn(
  page: Page,
  { name, password }: IHub['members'][0]
): Promise<void> {
  await page.goto(hub.url);
  await page.getByLabel('Username').fill(name);
  await page.getByLabel('Password').fill(password);
  await page.getByRole('button', { name: 'Sign in' }).click();
  await expect(
    page.locator('.jp-LauncherCard', { hasText: 'Create PySpark Kernel' })
  ).toBeVisible(STARTS);
  expect(new URL(page.url()).pathname).toContain(`/user/${name}/lab`);
  // Until it has started, JupyterLab takes the focus to where it wants it.
  await expect(page.locator('#jupyterlab-splash')).toHaveCount(0, STARTS);
}
