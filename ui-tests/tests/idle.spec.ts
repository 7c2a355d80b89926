import AxeBuilder from '@axe-core/playwright';
import { readFileSync, writeFileSync } from 'fs';
import { join } from 'path';
import { expect, test, WORKSPACE } from './fixtures';

const FOLDER = process.env.PYSPARK_KERNELS_UI_FOLDER ?? '';

for (const theme of ['light', 'dark'] as const) {
  test(`a notebook says what its idle kernel gave back (${theme})`, async ({
    page,
    // Takes the kernel away afterwards.
    dialog: _,
    request,
    baseURL
  }) => {
    test.setTimeout(300_000);
    if (theme === 'dark') {
      await page.theme.setDarkTheme();
    }
    const name = `idle-${theme}`;
    const url = `${baseURL}/jupyterlab-pyspark-kernels/kernels`;
    const data = {
      name,
      display_name: name,
      environment: join(WORKSPACE, '.venv'),
      // A cluster of this kernel's own.
      master: 'local-cluster[1,1,1024]',
      executor_memory: '512m',
      idle_release_minutes: 1,
      idle_stop_minutes: 2
    };
    expect((await request.post(url, { data })).status()).toBe(201);
    // Nobody waits for minutes here.
    const file = join(FOLDER, 'data', 'kernels', name, 'kernel.json');
    const spec = JSON.parse(readFileSync(file, 'utf-8'));
    expect(spec.env.PYSPARK_KERNELS_IDLE).toBe('release=60 stop=120');
    spec.env.PYSPARK_KERNELS_IDLE = 'release=4 stop=24';
    writeFileSync(file, JSON.stringify(spec));

    await page.locator('.jp-LauncherCard', { hasText: name }).first().click();
    await page.locator('.jp-CodeCell .cm-content').first().click();
    await expect(
      page.getByRole('button', { name: `${name} | Idle` })
    ).toBeVisible({ timeout: 60_000 });
    await page.keyboard.insertText('mine = spark.range(41).count()');
    await page.keyboard.press('Shift+Enter');
    const indicator = page.locator(
      '.jp-NotebookPanel .jp-PySparkKernels-indicator'
    );
    const button = indicator.getByRole('button');

    // Before the cell Spark may have been released as well.
    const run = page.locator('.jp-CodeCell .jp-InputPrompt').first();
    await expect(run).toHaveText('[1]:', { timeout: 90_000 });
    await expect(button).toHaveText(/^Spark released: \d+ s idle$/, {
      timeout: 90_000
    });
    await page.screenshot({
      path: test.info().outputPath(`released-${theme}.png`)
    });

    await expect(button).toHaveText(/^Spark stopped: \d+ s idle$/, {
      timeout: 90_000
    });
    await expect(indicator.getByRole('status')).toHaveText(
      /^Spark stopped: .* the next Spark cell starts it again\./
    );
    const { violations } = await new AxeBuilder({ page })
      .include('.jp-PySparkKernels-indicator')
      .analyze();
    expect(violations.map(({ id }) => id)).toEqual([]);
    await page.screenshot({
      path: test.info().outputPath(`stopped-${theme}.png`)
    });

    await page.keyboard.insertText('print(mine + 1)');
    await page.keyboard.press('Shift+Enter');
    await expect(page.locator('.jp-OutputArea-output')).toHaveText(/42/);
    await expect(button).toHaveText(/^Spark stopped/);

    await page.keyboard.insertText('spark.range(43).count()');
    await page.keyboard.press('Shift+Enter');
    await expect(button).toHaveText('Spark is coming back');
    await expect(page.locator('.jp-OutputArea-output').last()).toHaveText(
      /43/,
      { timeout: 60_000 }
    );
    await expect(
      page.locator('.jp-OutputArea-output', { hasText: 'without use' })
    ).toHaveCount(1);
    // The doctor has nothing to say.
    await expect(page.locator('.Toastify__toast')).toHaveCount(0);
    await page.screenshot({
      path: test.info().outputPath(`back-${theme}.png`)
    });
  });
}
