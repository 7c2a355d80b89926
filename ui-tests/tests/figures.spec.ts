import { CORES, MEMORY, withCluster } from './cluster';
import { expect, expectAccessible, test } from './fixtures';

for (const theme of ['light', 'dark'] as const) {
  test(`the form says what the cluster has, and what fits (${theme})`, async ({
    page,
    dialog
  }) => {
    test.setTimeout(300_000);
    await withCluster(async ({ master, webPort }) => {
      if (theme === 'dark') {
        await page.theme.setDarkTheme();
      }
      await dialog.open();
      await dialog.field('Name').fill('Figures');
      await dialog.root.getByText('Advanced').click();
      await dialog.type('Spark settings', `spark.master.ui.port=${webPort}`);
      await dialog.type('Executor cores', '1');
      await dialog.type('Executor memory', '512m');
      // A hint on a local master's executors comes and goes with the master.
      await dialog.type('Master', master);
      await expect(dialog.figures).toContainText(
        `One executor takes 512 MiB and 1 core. ${CORES} executors would start now.`
      );
      await expect(dialog.around('executor_memory')).not.toContainText('Hint:');
      await expect(dialog.around('executor_cores')).not.toContainText('Hint:');
      const below = dialog.field('Available to');
      const place = await below.boundingBox();

      await dialog.type('Executor memory', '700m');
      await expect(dialog.figures).toContainText('takes 700 MiB');
      expect(await below.boundingBox()).toEqual(place);
      await dialog.figures.locator('summary').click();
      await expect(
        dialog.figures.getByRole('row', { name: 'Free cores' })
      ).toContainText(`${CORES} of ${CORES}`);
      await expect(
        dialog.figures.getByRole('row', { name: 'Largest free node' })
      ).toContainText(`${CORES} cores`);
      await expectAccessible(page);
      await page.screenshot({
        path: test.info().outputPath(`figures-${theme}.png`)
      });

      await dialog.type('Executor memory', '4g');
      await expect(dialog.figures).toContainText('None can ever start.');
      await expect(dialog.around('executor_memory')).toContainText(`${MEMORY}`);
      await expectAccessible(page);
      await page.screenshot({
        path: test.info().outputPath(`never-${theme}.png`)
      });
      // It is said, and forbids nothing.
      await dialog.create();
      await expect(dialog.root).toBeHidden();
    });
  });
}

test('a cluster that does not answer is said so, and blocks nothing', async ({
  page,
  dialog
}) => {
  await dialog.open();
  await dialog.field('Name').fill('Alone');
  const below = dialog.field('Available to');
  const place = await below.boundingBox();
  await dialog.type('Master', 'spark://127.0.0.1:1');
  await expect(dialog.figures).toContainText('The cluster did not answer.');
  expect(await below.boundingBox()).toEqual(place);
  await page.screenshot({ path: test.info().outputPath('silent.png') });
  await dialog.figures.locator('summary').click();
  await expect(dialog.figures).toContainText('127.0.0.1:8080');
  await expectAccessible(page);
  await dialog.create();
  await expect(dialog.root).toBeHidden();
});

test('no host is asked that is half typed, or that nobody has seen', async ({
  page,
  dialog
}) => {
  const asked: string[] = [];
  page.on('request', request => {
    if (new URL(request.url()).pathname.endsWith('-kernels/cluster')) {
      asked.push(request.postDataJSON().master);
    }
  });
  await page.evaluate(() => {
    void (window as any).jupyterapp.commands.execute('pyspark-kernels:create', {
      master: 'spark://127.0.0.1:1'
    });
  });
  await expect(dialog.field('Name')).toBeFocused();
  await page.waitForTimeout(1500);
  expect(asked).toEqual([]);
  await dialog.field('Master').fill('');
  await page.keyboard.type('spark://127.0.0.2:1', { delay: 20 });
  await page.waitForTimeout(1500);
  expect(asked).toEqual([]);
  await page.keyboard.press('Tab');
  await expect.poll(() => asked).toEqual(['spark://127.0.0.2:1']);
});
