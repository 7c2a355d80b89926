import AxeBuilder from '@axe-core/playwright';
import type { IJupyterLabPageFixture } from '@jupyterlab/galata';
import type { Locator } from '@playwright/test';
import { join } from 'path';
import { expect, reload, test, WORKSPACE } from './fixtures';

const PLUGIN = 'jupyterlab-pyspark-kernels:notebook';
const SLOW = "(lambda x: __import__('time').sleep(%s) or x)";

/** Two stages, of which the first takes five times as many seconds. */
const stages = (seconds: number): string =>
  `sc.parallelize(range(10), 10).map(${SLOW.replace('%s', `${seconds}`)}).map(lambda x: (x % 2, x)).reduceByKey(max, 2).count()`;
const ENDLESS = `sc.parallelize(range(4), 4).map(${SLOW.replace('%s', '100')}).count()`;

/** A task fails once, and is tried again. */
const FAILING = (mark: string): string => `def once(x):
    import os, time
    time.sleep(0.5)
    if x == 1 and not os.path.exists('/tmp/${mark}'):
        open('/tmp/${mark}', 'w').close()
        raise ValueError('once')
    return x
sc.parallelize(range(4), 4).map(once).sum(), __import__('os').remove('/tmp/${mark}')`;

class Notebook {
  constructor(
    readonly page: IJupyterLabPageFixture,
    readonly folder: string
  ) {}

  /** Run the last cell, and give it. */
  async run(code: string): Promise<Locator> {
    const cells = this.page.locator('.jp-CodeCell');
    await expect(cells.last()).toBeVisible({ timeout: 60_000 });
    await expect(
      this.page.getByRole('button', { name: /^progress-\w+ \| Idle$/ })
    ).toBeVisible({ timeout: 60_000 });
    const index = (await cells.count()) - 1;
    await cells.nth(index).locator('.cm-content').click();
    await this.page.keyboard.insertText(code);
    await this.page.keyboard.press('Shift+Enter');
    await expect(cells).toHaveCount(index + 2);
    return cells.nth(index);
  }

  /** What the notebook's file has. */
  async saved(): Promise<string> {
    await this.page.notebook.save();
    const name = await this.page
      .getByRole('main')
      .getByRole('tab', { selected: true })
      .innerText();
    await expect
      .poll(() => this.page.locator('.lm-TabBar-tab.jp-mod-dirty').count())
      .toBe(0);
    const url = `/api/contents/${this.folder}/${name}`;
    return (await this.page.request.get(url)).text();
  }
}

const progress = (cell: Locator): Locator =>
  cell.locator('.jp-PySparkKernels-progress');
const toggle = (cell: Locator): Locator =>
  progress(cell).locator('[aria-expanded]');

for (const theme of ['light', 'dark'] as const) {
  test(`a cell shows what Spark works on, and ends it (${theme})`, async ({
    page,
    // Takes the kernel away afterwards.
    dialog: _,
    request,
    baseURL,
    tmpPath
  }) => {
    test.setTimeout(480_000);
    if (theme === 'dark') {
      await page.theme.setDarkTheme();
    }
    const name = `progress-${theme}`;
    const data = {
      name,
      display_name: name,
      environment: join(WORKSPACE, '.venv'),
      // A task that fails is tried once more.
      master: 'local[2,2]'
    };
    const url = `${baseURL}/jupyterlab-pyspark-kernels/kernels`;
    expect((await request.post(url, { data })).status()).toBe(201);
    await page.locator('.jp-LauncherCard', { hasText: name }).first().click();
    const notebook = new Notebook(page, tmpPath);
    const shot = (what: string) =>
      page.screenshot({
        path: test.info().outputPath(`${what}-${theme}.png`)
      });
    const expectAccessible = async (): Promise<void> => {
      const { violations } = await new AxeBuilder({ page })
        .include('.jp-PySparkKernels-progress')
        .analyze();
      const found = violations.map(({ id, nodes }) => [id, nodes[0].html]);
      expect(found).toEqual([]);
    };

    const first = await notebook.run(stages(4));
    await expect(toggle(first)).toHaveText(
      /^Spark: 1 job, \d+ of 12 tasks, (\d+ min )?\d+(\.\d)? s$/,
      { timeout: 120_000 }
    );
    const line = await progress(first).boundingBox();
    const bar = progress(first).getByRole('progressbar').first();
    const seen = new Set<string | null>();
    await expect
      .poll(async () => {
        seen.add(await bar.getAttribute('aria-valuenow'));
        return seen.size;
      })
      .toBeGreaterThan(2);
    await shot('running');
    await toggle(first).focus();
    await page.keyboard.press('Enter');
    await expect(toggle(first)).toHaveAttribute('aria-expanded', 'true');
    await expect(progress(first).getByText(/^Stage \d+: /)).toHaveCount(2);
    await expect(progress(first).getByRole('progressbar')).toHaveCount(4);
    await expectAccessible();
    await shot('expanded');
    await expect(toggle(first)).toHaveText(
      /^Spark: 1 job, 12 tasks, (\d+ min )?\d+ s$/,
      { timeout: 120_000 }
    );
    await expect(first.locator('.jp-OutputArea-output')).toHaveText('2');
    await shot('ended');
    await toggle(first).click();
    await expect(toggle(first)).toHaveAttribute('aria-expanded', 'false');
    // The line stands where it stood.
    expect(await progress(first).boundingBox()).toEqual(line);
    await expectAccessible();

    const second = await notebook.run(FAILING(`${name}-${Date.now()}`));
    await expect(toggle(second)).toContainText(', 1 task failed');
    await toggle(second).click();
    await expect(second.locator('.jp-OutputArea-output')).toContainText('(6,');
    await shot('failed');
    await expectAccessible();

    const third = await notebook.run(ENDLESS);
    await expect(toggle(third)).toHaveText(/0 of 4 tasks/);
    await toggle(third).click();
    await shot('endless');
    await progress(third)
      .getByRole('button', { name: /^Cancel Job/ })
      .focus();
    await page.keyboard.press('Enter');
    await expect(toggle(third)).toContainText(', 1 job cancelled');
    await expect(third.locator('.jp-OutputArea-output')).toContainText(
      'cancelled in the notebook'
    );
    await third.scrollIntoViewIfNeeded();
    await shot('cancelled');
    await expectAccessible();

    expect(await notebook.saved()).not.toMatch(/Spark: \d|PySparkKernels/);
    await progress(first)
      .getByRole('button', { name: 'Keep in notebook' })
      .click();
    await expect(first.locator('.jp-OutputArea-output table')).toContainText(
      '12 of 12 tasks'
    );
    await first.scrollIntoViewIfNeeded();
    await shot('kept');
    expect(await notebook.saved()).toContain('Spark: 1 job, 12 tasks');

    // Another run of the cell begins anew, and one without Spark leaves nothing.
    await second.locator('.cm-content').click();
    await page.keyboard.press('Control+a');
    await page.keyboard.insertText('1 + 1');
    await page.keyboard.press('Control+Enter');
    await expect(second.locator('.jp-OutputArea-output')).toHaveText('2');
    await expect(progress(second)).toHaveCount(0);
    await expect(progress(first)).toHaveCount(1);

    // Who loads the page anew while a job runs goes on seeing it.
    const fourth = await notebook.run(stages(4));
    await expect(toggle(fourth)).toBeVisible();
    await notebook.saved();
    await reload(page);
    await expect(
      page.locator('.jp-PySparkKernels-progress').last()
    ).toContainText(/Spark: 1 job, /, { timeout: 60_000 });
  });
}

test.describe('with settings of the server', () => {
  // Galata would answer in the place of it.
  test.use({ mockSettings: false });
  test('progress goes by the settings, and a kernel that is not ours has none', async ({
    page,
    dialog: _,
    request,
    baseURL,
    tmpPath
  }) => {
    test.setTimeout(480_000);
    const name = 'progress-settings';
    const data = {
      name,
      display_name: name,
      environment: join(WORKSPACE, '.venv'),
      master: 'local[2]'
    };
    const url = `${baseURL}/jupyterlab-pyspark-kernels/kernels`;
    expect((await request.post(url, { data })).status()).toBe(201);
    const wish = (value: string): Promise<unknown> =>
      request.put(`${baseURL}/lab/api/settings/${PLUGIN}`, {
        data: { raw: JSON.stringify({ progress: value }) }
      });
    await wish('keep');
    await page.reload();
    await page.locator('.jp-LauncherCard', { hasText: name }).first().click();
    const notebook = new Notebook(page, tmpPath);
    const kept = await notebook.run(stages(1.2));
    await expect(toggle(kept)).toBeVisible({ timeout: 120_000 });
    await expect(kept.locator('.jp-OutputArea-output table')).toHaveCount(1, {
      timeout: 60_000
    });
    expect(await notebook.saved()).toContain('12 tasks');

    await wish('running');
    await reload(page);
    const running = await notebook.run(stages(4));
    await expect(toggle(running)).toBeVisible();
    await expect(running.locator('.jp-OutputArea-output')).toHaveText('2', {
      timeout: 120_000
    });
    await expect(progress(running)).toHaveCount(0);

    await wish('off');
    await reload(page);
    const off = await notebook.run(stages(1.2));
    await expect(off.locator('.jp-OutputArea-output')).toHaveText('2', {
      timeout: 60_000
    });
    await expect(progress(off)).toHaveCount(0);
    await wish('summary');

    await page.menu.clickMenuItem('File>New>Notebook');
    await page.locator('.jp-Dialog').getByRole('combobox').selectOption({
      label: 'Python 3 (ipykernel)'
    });
    await page
      .locator('.jp-Dialog')
      .getByRole('button', { name: 'Select' })
      .click();
    const plain = page.locator('.jp-NotebookPanel:not(.lm-mod-hidden)');
    // JupyterLab drops a cell that is run before.
    await expect(
      page.getByRole('button', { name: 'Python 3 (ipykernel) | Idle' })
    ).toBeVisible({ timeout: 60_000 });
    await plain.locator('.jp-CodeCell .cm-content').last().click();
    await page.keyboard.insertText('import time; time.sleep(3); 42');
    await page.keyboard.press('Shift+Enter');
    await expect(plain.locator('.jp-OutputArea-output')).toHaveText('42', {
      timeout: 60_000
    });
    await expect(plain.locator('.jp-PySparkKernels-progress')).toHaveCount(0);
  });
});
