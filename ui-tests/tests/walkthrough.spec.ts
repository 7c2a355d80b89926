import { expect, test } from './fixtures';

test('from the launcher to a notebook that runs Spark, as the README says', async ({
  page,
  dialog
}) => {
  await dialog.open();
  await expect(dialog.field('Master')).toHaveValue('local[*]');
  await expect(dialog.field('Python environment')).toHaveValue(/\.venv$/);

  await dialog.field('Name').fill('My Spark');
  // The machine of these tests has two cores; the README leaves all of them to Spark.
  await dialog.field('Master').fill('local[2]');
  await dialog.create();
  await expect(dialog.root).toBeHidden();

  await page.getByRole('button', { name: 'Open a Notebook' }).click();
  // On a busy machine a cell that is run while the notebook still connects is not run at all.
  await expect(
    page.getByRole('button', { name: 'My Spark | Idle' })
  ).toBeVisible();
  await page.locator('.jp-CodeCell .cm-content').first().click();
  await page.keyboard.type('spark.range(1000).count()');
  await page.keyboard.press('Shift+Enter');
  await expect(page.locator('.jp-OutputArea-executeResult')).toHaveText(
    /1000/,
    { timeout: 120_000 }
  );

  await page.screenshot({ path: test.info().outputPath('notebook.png') });
  // What we add to the toolbar does not push the kernel's name out of it.
  await expect(
    page.locator('.jp-NotebookPanel-toolbar').getByText('My Spark')
  ).toBeVisible();

  // The tile of the new kernel is in the launcher, without a reload.
  await page.menu.clickMenuItem('File>New Launcher');
  await expect(
    page.locator('.jp-LauncherCard:visible', { hasText: 'My Spark' }).first()
  ).toBeVisible();
});
