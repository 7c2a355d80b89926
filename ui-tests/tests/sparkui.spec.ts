import AxeBuilder from '@axe-core/playwright';
import type { Locator } from '@playwright/test';
import { join } from 'path';
import { expect, runCommand, test, WORKSPACE } from './fixtures';

/** A machine that does other things besides. */
const SLOW = { timeout: 90_000 };

for (const theme of ['light', 'dark'] as const) {
  test(`Spark’s UI opens in a tab: Jobs, Stages and Executors (${theme})`, async ({
    page,
    // Takes the kernel away afterwards.
    dialog: _,
    request,
    baseURL
  }) => {
    test.setTimeout(480_000);
    if (theme === 'dark') {
      await page.theme.setDarkTheme();
    }
    const name = `ui-${theme}`;
    const created = await request.post(
      `${baseURL}/jupyterlab-pyspark-kernels/kernels`,
      {
        data: {
          name,
          display_name: name,
          environment: join(WORKSPACE, '.venv'),
          // Not the port that everybody guesses.
          conf: { 'spark.ui.port': '4747' },
          master: 'local[2]'
        }
      }
    );
    expect(created.status()).toBe(201);
    const shot = (what: string) =>
      page.screenshot({
        path: test.info().outputPath(`${what}-${theme}.png`)
      });

    const expectOurs = async (what: string) => {
      const { violations } = await new AxeBuilder({ page })
        .include('.jp-PySparkKernels-uiPage')
        .analyze();
      // What lies inside the frame is Spark's own, unless we say why there is none.
      const ours = violations.flatMap(({ id, nodes }) =>
        nodes
          .filter(({ target }) => target.length === 1 || what === 'stopped')
          .map(({ html }) => [id, html])
      );
      expect(ours, what).toEqual([]);
    };

    // As wide as it can be: then the toolbar has room for everything.
    await page.sidebar.close('left');
    await page.locator('.jp-LauncherCard', { hasText: name }).first().click();
    await page.locator('.jp-CodeCell .cm-content').first().click();
    const button = page.getByRole('button', { name: 'Spark UI' });
    await expect(button).toBeDisabled();
    const inToolbar = page.locator('[data-command="pyspark-kernels:spark-ui"]');
    await expect(inToolbar).toHaveAttribute('title', /^Spark is starting/);
    await page.keyboard.insertText(
      'sc.setJobDescription("of mine"); spark.range(100).count()'
    );
    await page.keyboard.press('Shift+Enter');
    await expect(button).toBeEnabled(SLOW);
    await expect(page.locator('.jp-OutputArea-output')).toHaveText(/100/, {
      timeout: 90_000
    });
    const { violations } = await new AxeBuilder({ page })
      .include('[data-command="pyspark-kernels:spark-ui"]')
      .analyze();
    expect(violations.map(({ id }) => id)).toEqual([]);

    // What the pages themselves could not load or run.
    const problems: string[] = [];
    page.on('console', message => {
      const { url } = message.location();
      if (message.type() === 'error' && url.includes('/ui/')) {
        problems.push(`${message.text()} ${url}`);
      }
    });
    page.on('response', answer => {
      if (answer.url().includes('/ui/') && answer.status() >= 400) {
        problems.push(`${answer.status()} ${answer.url()}`);
      }
    });
    await button.click();
    const tab = page.getByRole('tab', { name: /^Spark UI: / });
    await expect(tab).toBeVisible();
    const frame = page.frameLocator('iframe[title^="Spark UI: "]');

    await expect(frame.locator('h3', { hasText: 'Spark Jobs' })).toBeVisible(
      SLOW
    );
    const job = frame.locator('#completedJob-table tbody tr');
    const readAgainUntil = (row: Locator): Promise<void> =>
      expect(async () => {
        // The page is as it was when it was read; that the job has ended may come later.
        await page.getByRole('button', { name: /^Reload/ }).click();
        await expect(row).toContainText('of mine', { timeout: 5_000 });
      }).toPass(SLOW);
    await readAgainUntil(job.first());
    await shot('jobs');

    await frame.getByRole('link', { name: 'Stages', exact: true }).click();
    await expect(
      frame.locator('h3', { hasText: 'Stages for All Jobs' })
    ).toBeVisible();
    await readAgainUntil(
      frame.locator('#completedStage-table tbody tr').first()
    );
    await shot('stages');

    await frame.getByRole('link', { name: 'Executors', exact: true }).click();
    // Spark's scripts fill it from Spark's API: it stays empty where the address misleads them.
    const executor = frame.locator('#active-executors-table tbody tr');
    await expect(executor).toHaveCount(1, SLOW);
    await expect(executor).toContainText('driver');
    await expect(executor).toContainText('Active');
    await shot('executors');

    await expectOurs('executors');
    expect(problems).toEqual([]);

    // Once more, from the palette: the tab that is there.
    const notebook = page.getByRole('tab', {
      name: 'Untitled.ipynb',
      exact: true
    });
    await notebook.click();
    await runCommand(page, 'Open Spark UI');
    await expect(tab).toHaveCount(1);
    await expect(tab).toHaveAttribute('aria-selected', 'true');

    // Beside the notebook, where Spark's menu is folded, and behind a button.
    await page.evaluate(() => {
      const { shell } = (window as any).jupyterapp;
      const [notebook, ui] = [...shell.widgets('main')].slice(-2);
      shell.add(ui, 'main', { mode: 'split-right', ref: notebook.id });
    });
    await shot('beside');

    // A Spark that has stopped.
    await notebook.click();
    await page.keyboard.press('Escape');
    await page.keyboard.press('b');
    await page.keyboard.press('Enter');
    await page.keyboard.insertText('spark.stop()');
    await page.keyboard.press('Shift+Enter');
    const problem = frame.getByRole('heading', {
      name: 'Spark’s UI cannot be shown'
    });
    await expect(async () => {
      await page.getByRole('button', { name: /^Reload/ }).click();
      await expect(problem).toBeVisible({ timeout: 5_000 });
      // Until the launcher has told, nobody listens there any more.
      await expect(
        frame.getByText('Spark does not run in this kernel')
      ).toBeVisible({ timeout: 1_000 });
    }).toPass(SLOW);
    await shot('stopped');
    await expectOurs('stopped');
  });
}

test('a job is killed from Spark’s UI, by a click that asks first', async ({
  page,
  dialog: _,
  request,
  baseURL
}) => {
  test.setTimeout(480_000);
  const data = {
    name: 'killing',
    display_name: 'killing',
    environment: join(WORKSPACE, '.venv'),
    master: 'local[2]'
  };
  const url = `${baseURL}/jupyterlab-pyspark-kernels/kernels`;
  expect((await request.post(url, { data })).status()).toBe(201);
  // Then the toolbar has room for everything.
  await page.sidebar.close('left');
  await page
    .locator('.jp-LauncherCard', { hasText: 'killing' })
    .first()
    .click();
  await page.locator('.jp-CodeCell .cm-content').first().click();
  const button = page.getByRole('button', { name: 'Spark UI' });
  // What is run before the kernel is there is not run.
  await expect(
    page.getByRole('button', { name: 'killing | Idle' })
  ).toBeVisible({ timeout: 90_000 });
  await page.keyboard.insertText(
    'sc.range(2).map(lambda _: __import__("time").sleep(900)).count()'
  );
  await page.keyboard.press('Shift+Enter');
  await expect(button).toBeEnabled(SLOW);
  await button.click();
  const frame = page.frameLocator('iframe[title^="Spark UI: "]');
  const link = frame.getByText('(kill)').first();
  await expect(async () => {
    // The page is as it was when it was read; the job may come later.
    await page.getByRole('button', { name: /^Reload/ }).click();
    await expect(link).toBeVisible({ timeout: 5_000 });
  }).toPass(SLOW);
  const asked: string[] = [];
  page.on('dialog', question => {
    asked.push(question.message());
    void question.accept();
  });
  await link.click();
  expect(asked).toEqual(['Are you sure you want to kill job 0 ?']);
  const kill = frame.getByRole('button', { name: 'Kill job 0' });
  await expect(kill).toBeVisible(SLOW);
  await page.screenshot({ path: test.info().outputPath('kill.png') });
  const output = page.locator('.jp-OutputArea-output');
  await expect(output).toHaveCount(0);
  await kill.click();
  await expect(frame.locator('h3', { hasText: 'Spark Jobs' })).toBeVisible(
    SLOW
  );
  await expect(frame.locator('#failedJob-table tbody tr')).toHaveCount(1, {
    timeout: 90_000
  });
  await expect(output.last()).toContainText(/cancelled/i, {
    timeout: 90_000
  });
});
