import { expect, expectAccessible, test } from './fixtures';

for (const theme of ['light', 'dark'] as const) {
  test(`nobody is shut out of the dialog (${theme})`, async ({
    page,
    dialog
  }) => {
    if (theme === 'dark') {
      await page.theme.setDarkTheme();
    }
    await dialog.open();
    await dialog.type('Name', 'x'.repeat(101));
    await dialog.field('Master').fill('spark://master:7077');
    await dialog.root.getByText('Advanced').click();
    await expect(dialog.around('display_name')).toContainText(
      'Use at most 100'
    );
    await expectAccessible(page);
    await page.screenshot({ path: test.info().outputPath(`${theme}.png`) });

    await dialog.field('Python environment').click();
    await expect(dialog.root.getByRole('listbox')).toBeVisible();
    await expectAccessible(page);
    await page.screenshot({
      path: test.info().outputPath(`${theme}-list.png`)
    });
  });
}

test('the server says what is wrong while a person types, at the field', async ({
  dialog
}) => {
  await dialog.open();
  await dialog.field('Name').fill('Python 3 (ipykernel)');
  await expect(dialog.around('display_name')).toContainText('is called');
  await dialog.field('Name').fill('Mine');
  await expect(
    dialog.around('display_name').locator('[role=alert]')
  ).toHaveCount(0);
  await dialog.type('Executor memory', '4x');
  await expect(dialog.around('executor_memory')).toContainText(
    'is not an amount of memory'
  );
  await dialog.type('Executor memory', '4g');
  await expect(dialog.around('executor_memory')).toContainText('Hint:');
});

test('a refusal keeps the dialog open, with what was typed, at the field', async ({
  page,
  dialog,
  request,
  baseURL
}) => {
  await dialog.open();
  await dialog.field('Name').fill('Mine');
  await dialog.root.getByText('Advanced').click();
  await dialog.field('Kernel name').fill('python3');
  await dialog.create();
  await expect(dialog.around('name')).toContainText('exists already');
  await expect(dialog.field('Kernel name')).toBeFocused();
  await expect(dialog.field('Name')).toHaveValue('Mine');

  // Enter goes the same way as the button.
  await page.keyboard.press('Enter');
  // It is disabled as long as the server is asked, and another Enter says nothing then.
  await expect(
    dialog.root.getByRole('button', { name: 'Create' })
  ).toBeEnabled();
  await expect(dialog.root).toBeVisible();
  await dialog.field('Kernel name').fill('mine-2');
  await page.keyboard.press('Enter');
  await expect(dialog.root).toBeHidden();
  const kernel = await request.get(
    `${baseURL}/jupyterlab-pyspark-kernels/kernels/user/mine-2`
  );
  expect((await kernel.json()).display_name).toBe('Mine');
});

test('settings, variables and the preview are what will be written', async ({
  page,
  dialog
}) => {
  await dialog.open();
  await dialog.field('Name').fill('Lines');
  await dialog.root.getByText('Advanced').click();
  await dialog
    .field('Spark settings')
    .fill('# pasted\nspark.sql.shuffle.partitions 64\nspark.x=a b');
  await dialog.type('Environment variables', 'NO VALUE');
  await expect(dialog.around('env')).toContainText('cannot be read');
  await dialog.field('Environment variables').fill('TZ=UTC');
  await dialog.root.getByText('Preview of kernel.json').click();
  const preview = dialog.root.locator('pre');
  await expect(preview).toContainText('spark.sql.shuffle.partitions=64');
  await expect(preview).toContainText("'spark.x=a b'");
  await expect(preview).toContainText('"TZ": "UTC"');
  await page.screenshot({ path: test.info().outputPath('preview.png') });
});

for (const theme of ['light', 'dark'] as const) {
  test(`whom Spark works as, who pays and where secrets are (${theme})`, async ({
    page,
    dialog
  }) => {
    if (theme === 'dark') {
      await page.theme.setDarkTheme();
    }
    await dialog.open();
    await dialog.field('Name').fill('Identity');
    await dialog.type('Master', 'spark://127.0.0.1:7');
    await dialog.root.getByText('Identity and cost').click();
    await dialog.type('Labels', 'team research');
    await expect(dialog.around('labels')).toContainText(
      'there is no place for labels'
    );
    await dialog.type('Queue', 'analytics');
    await expect(dialog.around('queue').getByRole('alert')).toContainText(
      "queues are YARN's"
    );
    await dialog.type('Queue', '');
    await dialog.type('Secrets', 'DB_PASSWORD hunter2');
    await expect(dialog.around('secrets').getByRole('alert')).toContainText(
      'This is not a reference, and is not kept'
    );
    await expect(dialog.around('secrets').getByRole('alert')).not.toContainText(
      'hunter2'
    );
    await dialog.type('Secrets', 'DB_PASSWORD env:DATABASE');
    await expect(dialog.around('secrets').getByRole('alert')).toBeHidden();
    await dialog.field('Labels').scrollIntoViewIfNeeded();
    await expectAccessible(page);
    await page.screenshot({ path: test.info().outputPath(`${theme}.png`) });
    await dialog.root.getByText('Preview of kernel.json').click();
    await expect(dialog.root.locator('pre')).toContainText('env:DATABASE');
  });
}

test('an environment of any path can be typed', async ({ dialog }) => {
  await dialog.open();
  await dialog.field('Name').fill('Typed');
  await dialog.type('Python environment', '/nowhere');
  await expect(dialog.around('environment')).toContainText(
    'There is no Python in'
  );
});

test('every control is reached by keyboard alone', async ({ page, dialog }) => {
  await dialog.open();
  await page.keyboard.type('By keyboard');
  for (let steps = 0; steps < 45; steps++) {
    await page.keyboard.press('Tab');
    const label = await page.evaluate(
      () => document.activeElement?.textContent ?? ''
    );
    if (label === 'Advanced') {
      break;
    }
  }
  await page.keyboard.press('Enter');
  await page.keyboard.press('Tab');
  await expect(dialog.field('Kernel name')).toBeFocused();
  await page.keyboard.press('Escape');
  await expect(dialog.root).toBeHidden();
});

test('the defaults of the settings editor reach the form', async ({
  page,
  dialog
}) => {
  await page.evaluate(async () => {
    await (window as any).jupyterapp.serviceManager.settings.save(
      'jupyterlab-pyspark-kernels:commands',
      JSON.stringify({ master: 'spark://from-settings:7077', cores_max: 3 })
    );
  });
  await page.reload();
  await dialog.open();
  await expect(dialog.field('Master')).toHaveValue(
    'spark://from-settings:7077'
  );
  await dialog.root.getByText('Advanced').click();
  await expect(dialog.field('Cores at most')).toHaveValue('3');
});

test('the command is in the palette and in the Kernel menu', async ({
  page,
  dialog
}) => {
  await page.menu.clickMenuItem('Kernel>Create PySpark Kernel…');
  await expect(dialog.root).toBeVisible();
  await dialog.root.getByRole('button', { name: 'Cancel' }).click();
  await page.keyboard.press('Control+Shift+C');
  await page.locator('.lm-CommandPalette-input').fill('Create PySpark Kernel');
  await page.keyboard.press('Enter');
  await expect(dialog.root).toBeVisible();
});

test('a link with arguments fills the form and writes nothing', async ({
  page,
  dialog,
  request,
  baseURL
}) => {
  await page.evaluate(() => {
    void (window as any).jupyterapp.commands.execute('pyspark-kernels:create', {
      display_name: 'Smuggled',
      master: 'yarn',
      unknown: 1
    });
  });
  await expect(dialog.field('Name')).toHaveValue('Smuggled');
  await expect(dialog.field('Master')).toHaveValue('yarn');
  const kernels = await request.get(
    `${baseURL}/jupyterlab-pyspark-kernels/kernels`
  );
  expect(await kernels.json()).toEqual([]);
});
