import { execFileSync } from 'child_process';
import { rmSync } from 'fs';
import { join, resolve } from 'path';
import { expect, expectAccessible, test, WORKSPACE } from './fixtures';

const PYTHON = resolve(__dirname, '../../.dev/lab/bin/python');
/** A name by which environments are looked for in the workspace. */
const BARE = join(WORKSPACE, 'venv');
const SPARK = join(WORKSPACE, '.venv');

test('an environment is found by typing, and chosen with the mouse', async ({
  page,
  dialog
}) => {
  await dialog.open();
  const field = dialog.field('Python environment');
  await field.fill('pyspark 4 workspace/.venv');
  const options = dialog.root.getByRole('listbox').getByRole('option');
  await expect(options).toHaveCount(1);
  await expect(options).toContainText(SPARK);
  await expect(options).toContainText(/Python 3\.\d+.* · PySpark 4/);
  await options.click();
  await expect(field).toHaveValue(SPARK);
  await expect(field).toBeFocused();

  // All of the list is to be seen, and opening it has moved nothing.
  const place = await field.boundingBox();
  await dialog.root.getByRole('button', { name: 'Show the env' }).click();
  const list = dialog.root.locator('.jp-PySparkKernels-popup');
  await expect(list).toBeInViewport({ ratio: 1 });
  expect(await field.boundingBox()).toEqual(place);
  const isOnTop = await options.last().evaluate(option => {
    option.scrollIntoView();
    const { x, y, width, height } = option.getBoundingClientRect();
    const seen = document.elementFromPoint(x + width / 2, y + height / 2);
    return option.contains(seen);
  });
  expect(isOnTop).toBe(true);
  await page.mouse.click(5, 5);
  await expect(dialog.root).toBeVisible();
});

test('an environment is chosen by keyboard alone', async ({ page, dialog }) => {
  await dialog.open();
  await page.keyboard.type('By keyboard');
  await page.keyboard.press('Tab');
  const field = dialog.field('Python environment');
  await expect(field).toBeFocused();
  await page.keyboard.press('Control+A');
  await page.keyboard.type('.venv');
  await page.keyboard.press('ArrowDown');
  const active = await field.getAttribute('aria-activedescendant');
  await expect(dialog.root.locator(`[id="${active}"]`)).toContainText('.venv');
  await page.keyboard.press('Enter');
  await expect(field).toHaveValue(SPARK);
  await page.keyboard.press('ArrowDown');
  await expect(dialog.root.getByRole('listbox')).toBeVisible();
  await page.keyboard.press('Escape');
  await expect(dialog.root.getByRole('listbox')).toBeHidden();
  await expect(field).toBeFocused();
  await page.keyboard.press('Tab');
  await expect(dialog.field('Master')).toBeFocused();
});

test('an environment without ipykernel is made ready in the dialog', async ({
  page,
  dialog
}) => {
  rmSync(BARE, { recursive: true, force: true });
  execFileSync(PYTHON, ['-m', 'venv', BARE]);
  try {
    await dialog.open();
    await dialog.field('Name').fill('Made ready');
    const field = dialog.field('Python environment');
    await field.fill('workspace/venv');
    const option = dialog.root
      .getByRole('listbox')
      .getByRole('option', { name: BARE });
    await expect(option).toContainText('Cannot be used');
    await page.screenshot({ path: test.info().outputPath('unusable.png') });
    await page.keyboard.press('ArrowDown');
    await page.keyboard.press('Enter');
    await expect(field).toHaveValue(BARE);
    const around = dialog.around('environment');
    await expect(around).toContainText('has no ipykernel');

    // The button is the next stop of the keyboard.
    await page.keyboard.press('Tab');
    await expect(
      dialog.root.getByRole('button', { name: 'Install ipykernel' })
    ).toBeFocused();
    // The check of the whole form has been answered, so nothing moves any more by itself.
    await expect(around).toContainText('has no pyspark');
    const places = await around.boundingBox();
    await page.screenshot({ path: test.info().outputPath('chosen.png') });
    await page.keyboard.press('Enter');
    await expect(around).toContainText(`into ${BARE}, by pip`);
    await page.screenshot({ path: test.info().outputPath('question.png') });
    await page.keyboard.press('Escape');
    await expect(around).not.toContainText('by pip');
    expect(await around.boundingBox()).toEqual(places);
    await page.keyboard.press('Enter');
    await page.keyboard.press('Enter');
    await expect(dialog.progress).toBeVisible();
    // The buttons come and go, and the focus stays in the dialog.
    await expect(dialog.root.locator(':focus')).toHaveCount(1);
    await around.getByText('Log', { exact: true }).click();
    await expect(around.getByRole('region')).toContainText('ipykernel');
    await expectAccessible(page);
    await page.screenshot({ path: test.info().outputPath('installing.png') });

    await expect(dialog.progress).toBeHidden({ timeout: 120_000 });
    await expect(around).not.toContainText('ipykernel');
    await expect(dialog.root.locator(':focus')).toHaveCount(1);
    // It still needs a PySpark, which the check of the whole form says.
    await expect(around).toContainText('has no pyspark');
    await field.fill('workspace/venv');
    await expect(option).not.toContainText('Cannot be used');
    await page.keyboard.press('Escape');
    await expect(dialog.root).toBeVisible();
  } finally {
    rmSync(BARE, { recursive: true, force: true });
  }
});
