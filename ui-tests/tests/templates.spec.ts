import { mkdirSync, rmSync, writeFileSync } from 'fs';
import { join } from 'path';
import {
  expect,
  expectAccessible,
  type KernelDialog,
  notification,
  test,
  WORKSPACE
} from './fixtures';

const TEMPLATES = process.env.PYSPARK_KERNELS_UI_TEMPLATES ?? '';

const ANALYSIS = `
version: 1
title: Analysis
description: For notebooks on this machine.
reason: Ask data-platform@example.org for more.
fields:
  environment: {fixed: ${join(WORKSPACE, '.venv')}}
  master: {fixed: "local[1]", reason: There is one core for each notebook.}
  driver_memory: {default: 1g, min: 512m, max: 2g}
  carry: {hidden: true}
conf:
  spark.app.name: {fixed: "\${launch.user} in JupyterLab"}
  spark.sql.shuffle.partitions: {default: 4, min: 1, max: 8}
size: S
sizes:
  S: {title: Small, description: "1 GiB", fields: {executor_memory: 1g}}
  M: {title: Medium, description: "2 GiB", fields: {executor_memory: 2g}}
options:
  arrow:
    title: Arrow
    description: pandas through Arrow
    conf: {spark.sql.execution.arrow.pyspark.enabled: true}
`;

test.beforeAll(() => {
  mkdirSync(TEMPLATES, { recursive: true, mode: 0o755 });
  writeFileSync(join(TEMPLATES, 'analysis.yaml'), ANALYSIS);
});

// The other tests' forms have none.
test.afterAll(() => rmSync(TEMPLATES, { recursive: true }));

async function choose(dialog: KernelDialog): Promise<void> {
  await dialog.field('Template').selectOption('Analysis');
  await dialog.field('Name').fill('Analysis kernel');
}

for (const theme of ['light', 'dark'] as const) {
  test(`a template is chosen first, and says what it settles and why (${theme})`, async ({
    page,
    dialog
  }) => {
    if (theme === 'dark') {
      await page.theme.setDarkTheme();
    }
    await page
      .locator('.jp-LauncherCard', { hasText: 'Create PySpark Kernel' })
      .click();
    await expect(dialog.field('Template')).toBeFocused();
    await choose(dialog);
    await expect(dialog.field('Master')).toHaveValue('local[1]');
    await expect(dialog.field('Master')).toHaveAttribute('readonly', '');
    await expect(dialog.around('master')).toContainText(
      'There is one core for each notebook.'
    );
    await expect(dialog.field('Executor memory')).toHaveValue('1g');
    await page.screenshot({ path: test.info().outputPath(`${theme}.png`) });
    await dialog.field('Choices').selectOption('M');
    await expect(dialog.field('Executor memory')).toHaveValue('2g');
    await dialog.root.getByLabel('Arrow').check();
    await dialog.root.getByText('Advanced').click();
    await expect(dialog.around('driver_memory')).toContainText(
      'From 512m to 2g.'
    );
    await expect(dialog.around('carry')).toHaveCount(0);
    await expect(dialog.around('conf')).toContainText(
      'spark.app.name: The template sets'
    );
    await dialog.type('Driver memory', '8g');
    await expect(dialog.around('driver_memory').getByRole('alert')).toHaveText(
      '“8g” is more than 2g, the most that is allowed. Ask data-platform@example.org for more.'
    );
    await dialog.field('Driver memory').scrollIntoViewIfNeeded();
    await expectAccessible(page);
    await page.screenshot({
      path: test.info().outputPath(`${theme}-advanced.png`)
    });
  });
}

test('a kernel of a template is created, runs as it says, and stays settled in an edit', async ({
  page,
  dialog,
  request,
  baseURL
}) => {
  await page
    .locator('.jp-LauncherCard', { hasText: 'Create PySpark Kernel' })
    .click();
  await choose(dialog);
  await dialog.field('Choices').selectOption('M');
  await dialog.create();
  await expect(notification(page, 'Analysis kernel')).toBeVisible();
  const routes = `${baseURL}/jupyterlab-pyspark-kernels`;
  const [kernel] = await (await request.get(`${routes}/kernels`)).json();
  expect(kernel.config).toMatchObject({
    choices: ['M'],
    master: 'local[1]',
    executor_memory: '2g',
    driver_memory: '1g'
  });
  expect(kernel.config.conf['spark.sql.shuffle.partitions']).toBe('4');
  expect(kernel.config.per_user).toEqual(['spark.app.name']);
  await page.evaluate(() => {
    // It ends with the dialog.
    void window.jupyterapp.commands.execute('pyspark-kernels:edit', {
      place: 'user',
      name: 'analysis-kernel'
    });
  });
  await expect(dialog.field('Master')).toHaveAttribute('readonly', '');
  await expect(dialog.field('Choices')).toHaveValue('M');
  await expect(dialog.field('Template')).toHaveValue('analysis');
});
