import type { IJupyterLabPageFixture } from '@jupyterlab/galata';
import AxeBuilder from '@axe-core/playwright';
import { createServer } from 'net';
import { join } from 'path';
import { expect, test, WORKSPACE } from './fixtures';

/** A cell whose job takes a while: 120 tasks, two at a time. */
const SLOW = `
import time
def slow(number):
    time.sleep(0.3)
    return number

spark.sparkContext.parallelize(range(120), 120).map(slow).count()
`;

const RUNNING = /^Spark: \d+ of 120 tasks$/;

/** Give a port where nobody listens. */
async function deadPort(): Promise<number> {
  const server = createServer();
  await new Promise<void>(done => server.listen(0, '127.0.0.1', done));
  const address = server.address();
  await new Promise(done => server.close(done));
  return typeof address === 'object' && address ? address.port : 0;
}

/** Open a notebook, and begin to type into its first cell. */
async function openNotebook(
  page: IJupyterLabPageFixture,
  kernel: string
): Promise<void> {
  await page.locator('.jp-LauncherCard', { hasText: kernel }).first().click();
  await page.locator('.jp-CodeCell .cm-content:visible').first().click();
}

async function runCell(
  page: IJupyterLabPageFixture,
  code: string
): Promise<void> {
  await page.keyboard.insertText(code);
  await page.keyboard.press('Shift+Enter');
}

/** Make sure that what is ours shuts nobody out. */
async function expectNoViolations(page: IJupyterLabPageFixture): Promise<void> {
  let builder = new AxeBuilder({ page });
  for (const name of ['indicator', 'details']) {
    const place = `.jp-PySparkKernels-${name}`;
    builder = (await page.locator(place).count())
      ? builder.include(place)
      : builder;
  }
  const { violations } = await builder.analyze();
  expect(violations.map(({ id, nodes }) => [id, nodes[0].html])).toEqual([]);
}

for (const theme of ['light', 'dark'] as const) {
  test(`a notebook says how its Spark is (${theme})`, async ({
    page,
    // Takes the kernels away afterwards.
    dialog: _,
    request,
    baseURL
  }) => {
    test.setTimeout(600_000);
    if (theme === 'dark') {
      await page.theme.setDarkTheme();
    }
    const [works, fails] = [`works-${theme}`, `fails-${theme}`];
    const dead = `spark://127.0.0.1:${await deadPort()}`;
    for (const [name, master] of [
      [works, 'local[2]'],
      [fails, dead]
    ]) {
      const environment = join(WORKSPACE, '.venv');
      const data = { name, display_name: name, environment, master };
      const url = `${baseURL}/jupyterlab-pyspark-kernels/kernels`;
      expect((await request.post(url, { data })).status()).toBe(201);
    }
    const shot = (what: string) =>
      page.screenshot({
        path: test.info().outputPath(`${what}-${theme}.png`)
      });
    const indicator = page.locator(
      '.jp-Notebook-toolbar .jp-PySparkKernels-indicator, .jp-NotebookPanel-toolbar .jp-PySparkKernels-indicator'
    );
    const button = indicator.getByRole('button');
    const inStatusBar = page
      .locator('.jp-StatusBar-Widget .jp-PySparkKernels-indicator')
      .getByRole('button');
    const details = page.getByRole('dialog', {
      name: 'Spark of this notebook'
    });

    // What the button is at when it is first seen, its place must not change with what it says.
    const widths = new Set<number>();
    const measure = async () => {
      widths.add((await button.boundingBox())?.width ?? 0);
    };

    await openNotebook(page, works);
    await expect(button).toHaveText(/^Spark: (asking|JVM|connecting)/);
    await measure();
    await shot('starting');
    await expect(button).toHaveText('Spark: 2 cores, 1 GiB', {
      timeout: 240_000
    });
    await measure();
    await expect(inStatusBar).toHaveText('Spark: 2 cores, 1 GiB');
    await expect(indicator.getByRole('status')).toHaveText(/^Spark is ready/);
    await expectNoViolations(page);
    await shot('ready');

    await runCell(page, SLOW);
    await expect(button).toHaveText(RUNNING, { timeout: 60_000 });
    await expect(inStatusBar).toHaveText(RUNNING);
    await measure();
    // By the keyboard alone; the toolbar's arrow keys reach it as well.
    await button.focus();
    await page.keyboard.press('Enter');
    await expect(details).toBeFocused();
    await expect(details.getByRole('progressbar')).toHaveJSProperty('max', 120);
    await expect(details).toContainText('local[2]');
    await expect(details).toContainText(/JVM \d+\.\d s, connecting \d+\.\d s/);
    await expectNoViolations(page);
    await shot('running');
    await page.keyboard.press('Tab');
    await expect(
      details.getByRole('button', { name: 'Open Spark UI' })
    ).toBeFocused();
    await page.keyboard.press('Escape');
    await expect(details).toBeHidden();
    await expect(button).toBeFocused();
    await expect(button).toHaveText('Spark: 2 cores, 1 GiB', {
      timeout: 120_000
    });
    expect(widths.size).toBe(1);

    // The status bar opens the same, and the way to Spark's UI is there.
    await inStatusBar.click();
    await expect(details).toBeVisible();
    await shot('details');
    await details.getByRole('button', { name: 'Open Spark UI' }).click();
    await expect(details).toBeHidden();
    await expect(page.getByRole('tab', { name: /^Spark UI: / })).toBeVisible();
    await expect(inStatusBar).toBeHidden();

    await page.menu.clickMenuItem('File>New Launcher');
    await openNotebook(page, fails);
    const failed = page
      .locator('.jp-NotebookPanel:visible .jp-PySparkKernels-indicator')
      .getByRole('button');
    await expect(failed).toHaveText('Spark failed', { timeout: 240_000 });
    await expect(inStatusBar).toHaveText('Spark failed');
    await failed.click();
    await expect(details).toContainText(`Nobody listens at ${dead}.`);
    await expect(
      details.getByRole('button', { name: 'Test This Kernel' })
    ).toBeVisible();
    const remedy = details.getByRole('button', { name: 'Edit the Master…' });
    await expect(remedy).toBeVisible();
    await expectNoViolations(page);
    await shot('failed');
    await remedy.click();
    await expect(page.locator('.jp-PySparkKernels-Dialog')).toBeVisible();
    await page.keyboard.press('Escape');
  });
}

test('a kernel that is not ours has no indicator', async ({ page }) => {
  await openNotebook(page, 'Python 3');
  await expect(
    page.getByRole('button', { name: /^Python 3 .*\| Idle$/ })
  ).toBeVisible({ timeout: 60_000 });
  await runCell(page, 'print(40 + 2)');
  await expect(page.locator('.jp-OutputArea-output')).toHaveText(/42/, {
    timeout: 60_000
  });
  await expect(page.locator('.jp-PySparkKernels-indicator')).toHaveCount(0);
});
