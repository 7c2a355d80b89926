import {
  changeEnvironment,
  expect,
  expectAccessible,
  notification,
  restoreEnvironment,
  runCommand,
  test
} from './fixtures';

// Every test packs anew.
test.beforeEach(changeEnvironment);

test.afterEach(restoreEnvironment);

test('a kernel that carries its environment runs on an executor', async ({
  page,
  dialog
}) => {
  await dialog.carry('Carried');
  await dialog.create();
  await expect(dialog.progress).toHaveAttribute('aria-valuenow', /\d+/);
  await expect(dialog.root).toContainText(/ of [\d.,]+ files/);
  await expect(dialog.root.locator('[inert]')).toContainText('Master');
  await expectAccessible(page);
  await page.screenshot({ path: test.info().outputPath('progress.png') });
  await expect(dialog.root).toBeHidden({ timeout: 120_000 });

  await notification(page, 'The kernel “Carried” was created.')
    .getByRole('button', { name: 'Open a Notebook' })
    .click();
  // On a busy machine a cell that is run while the notebook still connects is not run at all.
  await expect(
    page.getByRole('button', { name: 'Carried | Idle' })
  ).toBeVisible();
  await page.locator('.jp-CodeCell .cm-content').first().click();
  await page.keyboard.insertText(
    "sc.parallelize([0], 1).map(lambda _: __import__('sys').executable).first()"
  );
  await page.keyboard.press('Shift+Enter');
  await expect(page.locator('.jp-OutputArea-executeResult')).toHaveText(
    /environment\/bin\/python/,
    { timeout: 150_000 }
  );
});

test('work goes on without the dialog, and a notification shows it', async ({
  page,
  dialog
}) => {
  await dialog.carry('In the background');
  await dialog.create();
  await expect(dialog.progress).toBeVisible();
  await dialog.root.getByRole('button', { name: 'Close' }).click();
  await expect(dialog.root).toBeHidden();
  const running = notification(page, 'Creating “In the background”');
  await expect(running.getByRole('button', { name: 'Cancel' })).toBeVisible();
  await expect(running).toBeInViewport({ ratio: 1 });
  await page.screenshot({ path: test.info().outputPath('notification.png') });

  // A dialog that shows it takes its place, and gives it back.
  await running.getByRole('button', { name: 'Show log' }).click();
  await expect(dialog.root.getByRole('region')).toContainText('Looking at');
  await expect(running).toHaveCount(0);
  await page.screenshot({ path: test.info().outputPath('log.png') });
  await dialog.root.getByRole('button', { name: 'Close' }).click();
  await expect(running).toHaveCount(1);

  const created = notification(
    page,
    'The kernel “In the background” was created.'
  );
  await expect(created).toHaveCount(1, { timeout: 120_000 });
  await expect(
    created.getByRole('button', { name: 'Open a Notebook' })
  ).toBeVisible();
  await expect(running).toHaveCount(0);
});

test('cancelled work can be taken up again, and outlives the page', async ({
  page,
  dialog,
  request,
  baseURL
}) => {
  await page.theme.setDarkTheme();
  await dialog.carry('Given up');
  await dialog.create();
  await expect(dialog.progress).toBeVisible();
  await page.screenshot({ path: test.info().outputPath('progress-dark.png') });
  await dialog.root.getByRole('button', { name: 'Cancel: Creating' }).click();
  await expect(dialog.progress).toBeHidden();
  await expect(dialog.field('Name')).toHaveValue('Given up');
  await expect(dialog.root.locator('[inert]')).toHaveCount(0);
  await expect(
    dialog.root.getByRole('button', { name: 'Create', exact: true })
  ).toBeFocused();
  const kernels = await request.get(
    `${baseURL}/jupyterlab-pyspark-kernels/kernels`
  );
  expect(await kernels.json()).toEqual([]);
  await page.keyboard.press('Escape');
  await expect(dialog.root).toBeHidden();

  await runCommand(page, 'Show PySpark Tasks');
  await expect(dialog.root).toContainText('It was cancelled.');
  await page.screenshot({ path: test.info().outputPath('cancelled.png') });
  await dialog.root.getByRole('button', { name: 'Try again' }).click();
  await expect(dialog.progress).toBeVisible();
  await expect(dialog.root.locator(':focus')).toHaveCount(1);
  await expectAccessible(page);
  await page.screenshot({ path: test.info().outputPath('tasks-dark.png') });

  await page.reload();
  await runCommand(page, 'Show PySpark Tasks');
  await expect(dialog.root).toContainText('The kernel was created.', {
    timeout: 120_000
  });
  await dialog.root.getByRole('button', { name: 'Close' }).click();
  await expect(
    page.locator('.jp-LauncherCard', { hasText: 'Given up' }).first()
  ).toBeVisible();

  // The environment is another one again, so what is packed is out of date.
  restoreEnvironment();
  await runCommand(page, 'Show Packed PySpark Environments');
  const row = dialog.root.getByRole('row', { name: /given-up/ });
  await expect(row).toContainText('changed since');
  await page.screenshot({ path: test.info().outputPath('archives-dark.png') });
  await expectAccessible(page);
  await row.getByRole('button', { name: 'Pack Again for given-up' }).click();
  await expect(dialog.progress).toBeVisible();
  await expect(dialog.root).toContainText('The kernel was changed.', {
    timeout: 120_000
  });
  await expect(
    dialog.root.getByRole('row', { name: /given-up nothing/ })
  ).toBeVisible();
  await expect(dialog.root).not.toContainText('Pack Again for given-up');
  await expect(dialog.root.locator(':focus')).toHaveCount(1);
});
