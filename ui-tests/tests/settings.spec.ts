import { expect, expectAccessible, type KernelDialog, test } from './fixtures';

/** The field of Spark settings, with the settings of the real Spark read. */
async function openRead(dialog: KernelDialog) {
  await dialog.open();
  await dialog.field('Name').fill('Settings');
  await dialog.root.getByText('Advanced').click();
  const field = dialog.root.getByRole('textbox', { name: 'Spark settings' });
  await field.click();
  // The first time its JVM is started, which nobody has to wait for.
  await expect(dialog.around('conf')).toContainText(
    /Spark 4\.\d+\.\d+ documents \d+ settings/,
    { timeout: 60_000 }
  );
  return field;
}

for (const theme of ['light', 'dark'] as const) {
  test(`keys of the chosen Spark are completed and explained (${theme})`, async ({
    page,
    dialog
  }) => {
    if (theme === 'dark') {
      await page.theme.setDarkTheme();
    }
    const field = await openRead(dialog);
    await field.pressSequentially('spark.executor.memoryOv');
    const list = dialog.root.getByRole('listbox', { name: 'Spark settings' });
    await expect(list.getByRole('option').first()).toContainText(
      'spark.executor.memoryOverhead'
    );
    await expect(dialog.root.getByRole('note')).toContainText(
      'The amount of non-heap memory to be allocated per executor'
    );
    await expectAccessible(page);
    await page.screenshot({ path: test.info().outputPath(`${theme}.png`) });
    await page.keyboard.press('Escape');
    await expect(list).toBeHidden();
    await expect(dialog.root).toBeVisible();
    await page.keyboard.press('Control+Space');
    await expect(list).toBeVisible();
    await page.keyboard.press('Enter');
    await expect(field).toHaveValue('spark.executor.memoryOverhead ');
    await page.keyboard.type('1g');
    await page.keyboard.press('Enter');
    await page.keyboard.type('spark.shuffle.compress ');
    await expect(list.getByRole('option')).toHaveText([/^true/, /^false/]);
    await page.keyboard.press('ArrowDown');
    await page.keyboard.press('Tab');
    await expect(field).toHaveValue(
      'spark.executor.memoryOverhead 1g\nspark.shuffle.compress false'
    );

    await dialog.root.getByText('Effective configuration').click();
    const row = dialog.root.locator('tr', {
      hasText: 'spark.shuffle.compress'
    });
    await expect(row).toContainText('this form');
    await expect(row).toContainText('true');
    await dialog.root.getByRole('searchbox').scrollIntoViewIfNeeded();
    await expectAccessible(page);
    await page.screenshot({
      path: test.info().outputPath(`${theme}-effective.png`)
    });
  });
}

test('a key that is misspelt, and a value that Spark would refuse, are told', async ({
  page,
  dialog
}) => {
  const field = await openRead(dialog);
  await field.fill('spark.sql.shuffle.partitons 64');
  await expect(dialog.around('conf')).toContainText(
    /Did you mean .*spark\.sql\.shuffle\.partitions/
  );
  await page.screenshot({ path: test.info().outputPath('misspelt.png') });
  await field.fill('spark.shuffle.compress yes');
  await expect(dialog.around('conf')).toContainText(
    'spark.shuffle.compress takes true or false. “yes” is not.'
  );
});
