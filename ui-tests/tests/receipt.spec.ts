import AxeBuilder from '@axe-core/playwright';
import { join } from 'path';
import {
  expect,
  expectAccessible,
  notification,
  test,
  WORKSPACE
} from './fixtures';

// Tasks that wait in the JVM use the time of cores, and little else.
const WORK =
  "spark.range(0, 32, 1, 32).selectExpr(\"java_method('java.lang.Thread', 'sleep', 8000L)\").write.format('noop').mode('overwrite').save()";

for (const theme of ['light', 'dark'] as const) {
  test(`a Spark that stops leaves a receipt, and a size that fits (${theme})`, async ({
    page,
    dialog,
    request,
    baseURL
  }) => {
    test.setTimeout(480_000);
    if (theme === 'dark') {
      await page.theme.setDarkTheme();
    }
    const name = `receipt-${theme}`;
    const url = `${baseURL}/jupyterlab-pyspark-kernels/kernels`;
    const data = {
      name,
      display_name: name,
      environment: join(WORKSPACE, '.venv'),
      master: 'local[32]',
      driver_memory: '4g'
    };
    expect((await request.post(url, { data })).status()).toBe(201);
    await page.locator('.jp-LauncherCard', { hasText: name }).first().click();
    await page.locator('.jp-CodeCell .cm-content').first().click();
    await expect(
      page.getByRole('button', { name: `${name} | Idle` })
    ).toBeVisible({ timeout: 90_000 });
    await page.keyboard.insertText(WORK);
    await page.keyboard.press('Shift+Enter');
    const prompts = page.locator('.jp-CodeCell .jp-InputPrompt');
    await expect(prompts.first()).toHaveText('[1]:', { timeout: 240_000 });
    // The launcher looks every few seconds, and from then on hears of a stop before it.
    await page.waitForTimeout(7_000);
    await page.keyboard.insertText('spark.stop()');
    await page.keyboard.press('Shift+Enter');

    const note = notification(page, 'Spark used');
    await expect(note).toHaveText(
      /Spark used [\d,]+ of [\d,]+ core-seconds \(\d+% idle\) and [\d.]+ of 4 GiB\./,
      { timeout: 60_000 }
    );
    // It slides in, and stays as long as somebody points to it.
    await page.waitForTimeout(1_000);
    await note.hover({ position: { x: 5, y: 5 } });
    await page.screenshot({
      path: test.info().outputPath(`notification-${theme}.png`)
    });
    const { violations } = await new AxeBuilder({ page })
      .include('.Toastify__toast')
      .analyze();
    expect(violations.map(({ id }) => id)).toEqual([]);
    await note.getByRole('button', { name: 'Resize to What You Used' }).click();
    await expect(dialog.field('Name')).toBeFocused();
    await expect(dialog.field('Driver memory')).toHaveValue('1g');
    await expect(dialog.field('Master')).toHaveValue('local[32]');
    await expect(dialog.around('driver_memory')).toContainText(
      'Changed here; stored is 4g.'
    );
    await dialog.field('Driver memory').scrollIntoViewIfNeeded();
    await page.screenshot({
      path: test.info().outputPath(`form-${theme}.png`)
    });
    await expectAccessible(page);
    // Nothing is saved without a click.
    await page.keyboard.press('Escape');
    await expect(dialog.root).toHaveCount(0);
    const stored = await (await request.get(`${url}/user/${name}`)).json();
    expect(stored.config.driver_memory).toBe('4g');

    await page.evaluate(() =>
      window.jupyterapp.commands.execute('pyspark-kernels:manager')
    );
    await page
      .getByRole('button', { name: `More actions for ${name}` })
      .click();
    await page.getByRole('menuitem', { name: 'Last Receipt…' }).click();
    await expect(dialog.root).toContainText('Spark was stopped in a notebook');
    await expect(dialog.root).toContainText(/at least [\d.]+ of 4 GiB used/);
    await expectAccessible(page);
    await page.screenshot({
      path: test.info().outputPath(`dialog-${theme}.png`)
    });
    await dialog.root
      .getByRole('button', { name: 'Resize to What You Used…' })
      .click();
    await expect(dialog.field('Driver memory')).toHaveValue('1g');
    // It hears keys when it has the focus.
    await expect(dialog.field('Name')).toBeFocused();
    await page.keyboard.press('Escape');
    await expect(dialog.root).toHaveCount(0);
  });
}
