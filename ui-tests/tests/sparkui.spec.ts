import AxeBuilder from '@axe-core/playwright';
import { join } from 'path';
import { expect, runCommand, test, WORKSPACE } from './fixtures';

for (const theme of ['light', 'dark'] as const) {
  test(`Spark’s UI opens in a tab: Jobs, Stages and Executors (${theme})`, async ({
    page,
    // Takes the kernel away afterwards.
    dialog: _,
    request,
    baseURL
  }) => {
    test.setTimeout(240_000);
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
    await expect(button).toBeEnabled({ timeout: 90_000 });
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
    // As wide as it can be.
    await page.sidebar.close('left');
    const frame = page.frameLocator('iframe[title^="Spark UI: "]');

    await expect(frame.locator('h3', { hasText: 'Spark Jobs' })).toBeVisible();
    const job = frame.locator('#completedJob-table tbody tr');
    await expect(job.first()).toContainText('of mine');
    await shot('jobs');

    await frame.getByRole('link', { name: 'Stages', exact: true }).click();
    await expect(
      frame.locator('h3', { hasText: 'Stages for All Jobs' })
    ).toBeVisible();
    await expect(
      frame.locator('#completedStage-table tbody tr').first()
    ).toContainText('of mine');
    await shot('stages');

    await frame.getByRole('link', { name: 'Executors', exact: true }).click();
    // Spark's scripts fill it from Spark's API: it stays empty where the address misleads them.
    const executor = frame.locator('#active-executors-table tbody tr');
    await expect(executor).toHaveCount(1);
    await expect(executor).toContainText('driver');
    await expect(executor).toContainText('Active');
    await shot('executors');

    const { violations: found } = await new AxeBuilder({ page })
      .include('.jp-PySparkKernels-ui')
      .analyze();
    // What lies inside the frame is Spark's own.
    const ours = found.flatMap(({ id, nodes }) =>
      nodes
        .filter(({ target }) => target.length === 1)
        .map(({ html }) => [id, html])
    );
    expect(ours).toEqual([]);
    expect(problems).toEqual([]);

    // Once more, from the palette: the tab that is there.
    await page
      .getByRole('tab', { name: 'Untitled.ipynb', exact: true })
      .click();
    await runCommand(page, 'Open Spark UI');
    await expect(tab).toHaveCount(1);
    await expect(tab).toHaveAttribute('aria-selected', 'true');
  });
}
