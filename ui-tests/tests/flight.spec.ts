import { expect, expectAccessible, notification, test } from './fixtures';

const ROUTES = 'jupyterlab-pyspark-kernels';

for (const theme of ['light', 'dark'] as const) {
  test(`a draft is tested before it is written (${theme})`, async ({
    page,
    dialog,
    request,
    baseURL
  }) => {
    if (theme === 'dark') {
      await page.theme.setDarkTheme();
    }
    await dialog.open();
    await dialog.field('Name').fill('Draft');
    await dialog.type('Master', 'local[2]');
    const buttons = dialog.root.locator('.jp-Dialog-footer');
    const place = await buttons.boundingBox();
    const name = await dialog.field('Name').boundingBox();
    await dialog.test();
    await expect(dialog.progress).toBeVisible();
    await expect(dialog.trial).toContainText('Starting Spark');
    await expectAccessible(page);
    await page.screenshot({
      path: test.info().outputPath(`testing-${theme}.png`)
    });
    await expect(dialog.trial).toContainText('Test passed. Spark 4', {
      timeout: 120_000
    });
    await expect(dialog.trial.getByRole('row', { name: /^Driver/ })).toHaveText(
      /3\.\d+\.\d+/
    );
    await expect(
      dialog.trial.getByRole('row', { name: 'Starting Spark' })
    ).toHaveText(/\d (ms|s)$/);
    await expect(dialog.trial.locator('time').first()).toHaveText(/\d{4}/);
    expect(await buttons.boundingBox()).toEqual(place);
    expect(await dialog.field('Name').boundingBox()).toEqual(name);
    await expectAccessible(page);
    await page.screenshot({
      path: test.info().outputPath(`passed-${theme}.png`)
    });
    await dialog.trial
      .getByRole('row', { name: 'Ending the kernel' })
      .scrollIntoViewIfNeeded();
    await page.screenshot({
      path: test.info().outputPath(`passed-end-${theme}.png`)
    });

    await dialog.type('Master', 'local[1]');
    await expect(dialog.trial).toContainText('This is of other values');
    await dialog.type('Master', 'local[2]');
    await expect(dialog.trial).not.toContainText('This is of other values');
    await dialog.trial.getByRole('button', { name: 'Hide' }).click();
    await expect(dialog.trial).toHaveCount(0);
    const kernels = await request.get(`${baseURL}/${ROUTES}/kernels`);
    expect(await kernels.json()).toEqual([]);
  });

  test(`a draft whose master is dead fails soon, and says why (${theme})`, async ({
    page,
    dialog
  }) => {
    if (theme === 'dark') {
      await page.theme.setDarkTheme();
    }
    await dialog.open();
    await dialog.field('Name').fill('Draft');
    await dialog.type('Master', 'spark://127.0.0.1:1');
    await dialog.test();
    await expect(dialog.trial).toContainText(
      'Test failed. Nobody listens at spark://127.0.0.1:1.'
    );
    await expect(dialog.trial).toContainText('Check that the Spark master is');
    await expect(dialog.trial).toContainText('Seen:');
    await expectAccessible(page);
    await page.screenshot({
      path: test.info().outputPath(`failed-${theme}.png`)
    });
    await dialog.trial.getByRole('button', { name: 'Go to “Master”' }).click();
    await expect(dialog.field('Master')).toBeFocused();
  });
}

test('what is wrong with a draft is said at its fields', async ({ dialog }) => {
  await dialog.open();
  await dialog.test();
  await expect(dialog.around('display_name')).toContainText('is missing');
  await expect(dialog.field('Name')).toBeFocused();
  await dialog.field('Name').fill('Draft');
  await dialog.field('Python environment').fill('/nowhere');
  await dialog.test();
  await expect(dialog.around('environment')).toContainText(
    'There is no Python in'
  );
  await expect(dialog.trial).toHaveCount(0);
});

test('a test is cancelled by its button, and by closing the dialog', async ({
  page,
  dialog,
  request,
  baseURL
}) => {
  const states = async (): Promise<string[]> => {
    const tasks = await (
      await request.get(`${baseURL}/${ROUTES}/tasks`)
    ).json();
    return tasks.map(({ state }: { state: string }) => state);
  };
  await dialog.open();
  await dialog.field('Name').fill('Draft');
  await dialog.test();
  await dialog.root.getByRole('button', { name: 'Cancel: Testing' }).click();
  await expect(dialog.trial).toHaveCount(0);
  expect(await states()).toEqual(['cancelled']);
  await expect(dialog.root.locator(':focus')).toHaveCount(1);

  await dialog.test();
  await expect(dialog.progress).toBeVisible();
  await page.keyboard.press('Escape');
  await expect(dialog.root).toBeHidden();
  await expect.poll(states).toEqual(['cancelled', 'cancelled']);
  await expect(notification(page, 'Testing')).toHaveCount(0);
});
