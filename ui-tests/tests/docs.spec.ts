// The pictures of the guides. They are kept only when that is asked for, as they show times and
// versions: PYSPARK_KERNELS_PICTURES=docs/images jlpm test:galata docs

import type { IJupyterLabPageFixture } from '@jupyterlab/galata';
import type { APIRequestContext } from '@playwright/test';
import { homedir, userInfo } from 'os';
import { dirname, join, resolve } from 'path';
import { expect, notification, runCommand, test, WORKSPACE } from './fixtures';

const KEPT = process.env.PYSPARK_KERNELS_PICTURES;
// Tasks that wait in the JVM use the time of cores, and little else.
const SLOW =
  "spark.range(0, 80, 1, 80).selectExpr(\"java_method('java.lang.Thread', 'sleep', 3000L)\").write.format('noop').mode('overwrite').save()";

/** Take a picture of what stands still. */
async function picture(
  page: IJupyterLabPageFixture,
  name: string
): Promise<void> {
  const folder = KEPT ? resolve(__dirname, '../..', KEPT) : undefined;
  const file = `${name}.png`;
  await page.screenshot({
    path: folder ? join(folder, file) : test.info().outputPath(file)
  });
}

/** Show paths of a reader: those of the machine that takes the picture mean nothing to anybody. */
async function showReadersPaths(page: IJupyterLabPageFixture): Promise<void> {
  await page.route('**/jupyterlab-pyspark-kernels/**', async route => {
    const data = route.request().postData();
    const response = await route.fetch({
      postData: data?.replaceAll('/home/ada', WORKSPACE)
    });
    const text = await response.text();
    await route.fulfill({
      response,
      body: text
        .replaceAll(WORKSPACE, '/home/ada')
        .replaceAll(dirname(WORKSPACE), '/opt')
        .replaceAll(homedir(), '/home/ada')
        .replaceAll(`"${userInfo().username}"`, '"ada"')
        .replaceAll(
          /"[^"]*\/data\/kernels/g,
          '"/home/ada/.local/share/jupyter/kernels'
        )
    });
  });
}

async function make(
  request: APIRequestContext,
  baseURL: string | undefined,
  display_name: string,
  more: object
): Promise<void> {
  const environment = join(WORKSPACE, '.venv');
  const url = `${baseURL}/jupyterlab-pyspark-kernels/kernels`;
  const data = { display_name, environment, ...more };
  expect((await request.post(url, { data })).status()).toBe(201);
}

/** Open a notebook, and run a cell. */
async function runIn(
  page: IJupyterLabPageFixture,
  kernel: string,
  code: string
): Promise<void> {
  await page.locator('.jp-LauncherCard', { hasText: kernel }).first().click();
  await page.sidebar.close('left');
  await expect(
    page.getByRole('button', { name: `${kernel} | Idle` })
  ).toBeVisible({ timeout: 60_000 });
  await page.locator('.jp-CodeCell .cm-content:visible').first().click();
  await page.keyboard.insertText(code);
  await page.keyboard.press('Shift+Enter');
}

test.beforeEach(({ page }) => showReadersPaths(page));

test('pictures of the form', async ({ page, dialog }) => {
  await dialog.open();
  await dialog.field('Name').fill('My Spark');
  await dialog.field('Executor memory').fill('4g');
  await expect(dialog.around('executor_memory')).toContainText('Hint:');
  await dialog.field('Executor memory').fill('');
  await expect(dialog.around('executor_memory')).not.toContainText('Hint:');
  await dialog.field('Name').focus();
  await picture(page, 'dialog');

  await dialog.root.getByRole('button', { name: 'Show the env' }).click();
  await expect(dialog.root.getByRole('listbox')).toBeVisible();
  await picture(page, 'environments');
  await page.keyboard.press('Escape');

  await dialog.type('Master', 'local[2]');
  await dialog.test();
  await expect(dialog.trial).toContainText('Test passed.', {
    timeout: 120_000
  });
  await picture(page, 'flight');
});

test('pictures of kernels and of what is wrong with one', async ({
  page,
  // Takes the kernels away afterwards.
  dialog: _,
  request,
  baseURL
}) => {
  await make(request, baseURL, 'Research', {
    master: 'spark://master:7077',
    executor_memory: '4g'
  });
  await make(request, baseURL, 'On YARN', { master: 'yarn' });
  await make(request, baseURL, 'Unreachable', {
    master: 'spark://127.0.0.1:1'
  });
  await runIn(page, 'Unreachable', 'spark.range(3).count()');
  await expect(notification(page, 'Nobody listens')).toBeVisible({
    timeout: 60_000
  });
  // It slides in.
  await page.waitForTimeout(1000);
  await picture(page, 'doctor');
  await notification(page, 'Nobody listens')
    .locator('.jp-Notification-Toast-Close')
    .click();

  await runCommand(page, 'PySpark Kernels');
  const panel = page.locator('.jp-PySparkKernels-Manager');
  await expect(panel.locator('tbody').getByRole('row')).toHaveCount(3);
  await picture(page, 'manager');
});

test('pictures of a notebook', async ({
  page,
  // Takes the kernel away afterwards.
  dialog: _,
  request,
  baseURL
}) => {
  test.setTimeout(360_000);
  await make(request, baseURL, 'My Spark', {
    master: 'local[8]',
    driver_memory: '4g'
  });
  await runIn(page, 'My Spark', SLOW);
  const progress = page.locator('.jp-PySparkKernels-progress');
  await expect(progress).toContainText(/[1-9]\d? of 80 tasks/, {
    timeout: 120_000
  });
  await progress.locator('[aria-expanded]').click();
  await expect(progress.getByRole('progressbar')).toHaveCount(3);
  await picture(page, 'progress');
  await expect(page.locator('.jp-CodeCell .jp-InputPrompt').first()).toHaveText(
    '[1]:',
    { timeout: 120_000 }
  );

  const indicator = page.locator('.jp-PySparkKernels-indicator').first();
  await indicator.click();
  await expect(page.locator('.jp-PySparkKernels-details')).toBeVisible();
  await picture(page, 'indicator');
  await page.keyboard.press('Escape');

  await page.sidebar.openTab('jp-running-sessions');
  await page.sidebar.setWidth(300, 'left');
  await expect(
    page.locator('.jp-PySparkKernels-application', { hasText: 'ready' })
  ).toBeVisible();
  await picture(page, 'running');
  await page.sidebar.close('left');

  // The launcher looks every few seconds, and from then on hears of a stop before it.
  await page.waitForTimeout(5000);
  await page.locator('.jp-CodeCell .cm-content').last().click();
  await page.keyboard.insertText('spark.stop()');
  await page.keyboard.press('Shift+Enter');
  await expect(notification(page, 'Spark used')).toBeVisible({
    timeout: 60_000
  });
  await page.waitForTimeout(1000);
  await picture(page, 'receipt');
});
