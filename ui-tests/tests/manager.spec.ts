import AxeBuilder from '@axe-core/playwright';
import type { IJupyterLabPageFixture } from '@jupyterlab/galata';
import type { APIRequestContext, Locator } from '@playwright/test';
import {
  cpSync,
  readFileSync,
  rmSync,
  symlinkSync,
  unlinkSync,
  writeFileSync
} from 'fs';
import { join } from 'path';
import { expect, notification, reload, test, WORKSPACE } from './fixtures';

const SPARK = join(WORKSPACE, '.venv');
/** Another name of the environment, which a test takes away. */
const GONE = join(WORKSPACE, 'of-the-browser-tests');
const KERNELS = join(
  process.env.PYSPARK_KERNELS_UI_FOLDER ?? '',
  'data/kernels'
);
const MANY = 500;
const BROKEN = 50;

/** The panel and what is done with it, as a person would. */
class Manager {
  constructor(readonly page: IJupyterLabPageFixture) {
    this.root = page.locator('.jp-PySparkKernels-Manager');
    this.menu = page.getByRole('menu', { name: /^Actions for/ });
    this.dialog = page.locator('.jp-Dialog');
  }

  readonly root: Locator;
  readonly menu: Locator;
  readonly dialog: Locator;

  /** Open it by the palette; right after the start no key opens that yet. */
  async open(): Promise<void> {
    const input = this.page.locator('.lm-CommandPalette-input');
    await expect(async () => {
      await this.page.keyboard.press('Control+Shift+C');
      // The launcher takes the focus at the start, and the palette goes then.
      await input.fill('PySpark Kernels', { timeout: 1000 });
      await input.press('Enter', { timeout: 1000 });
      await expect(this.root).toBeVisible({ timeout: 4000 });
    }).toPass();
    await expect(this.root.getByRole('searchbox')).toBeFocused();
    await expect(this.count).toHaveText(/kernel/);
  }

  get count(): Locator {
    return this.root.locator('.jp-PySparkKernels-count');
  }

  get names(): Locator {
    return this.root.locator('.jp-PySparkKernels-kernelName');
  }

  row(name: string): Locator {
    return this.root.locator('tbody').getByRole('row', { name });
  }

  async choose(name: string, label: string): Promise<void> {
    await this.row(name)
      .getByRole('button', { name: /^More actions/ })
      .click();
    await this.menu.getByRole('menuitem', { name: label }).click();
  }

  /** Make sure that the panel, or what lies above it, shuts nobody out. */
  async expectAccessible(above = '.jp-PySparkKernels-Manager'): Promise<void> {
    const { violations } = await new AxeBuilder({ page: this.page })
      .include('.jp-PySparkKernels-Manager')
      .include(above)
      .analyze();
    expect(violations.map(({ id, nodes }) => [id, nodes[0].html])).toEqual([]);
  }

  picture(name: string): Promise<Buffer> {
    return this.page.screenshot({ path: test.info().outputPath(name) });
  }
}

/** Write a kernel without the form. */
async function make(
  request: APIRequestContext,
  baseURL: string | undefined,
  display_name: string,
  more: object = {}
): Promise<void> {
  const answer = await request.post(
    `${baseURL}/jupyterlab-pyspark-kernels/kernels`,
    {
      data: { display_name, environment: SPARK, master: 'local[1]', ...more }
    }
  );
  expect(answer.status(), await answer.text()).toBe(201);
}

test('kernels are searched and sorted, and the panel stays after a reload', async ({
  page,
  dialog,
  request,
  baseURL
}) => {
  void dialog;
  await make(request, baseURL, 'Beta');
  await make(request, baseURL, 'alpha 10', { master: 'yarn' });
  await make(request, baseURL, 'Alpha 9', { master: 'local[3]' });
  const manager = new Manager(page);
  await manager.open();
  await expect(manager.names).toHaveText(['Alpha 9', 'alpha 10', 'Beta']);
  await expect(manager.count).toHaveText('3 kernels');

  const header = manager.root.getByRole('columnheader', { name: 'Kernel' });
  await expect(header).toHaveAttribute('aria-sort', 'ascending');
  await header.getByRole('button').press('Enter');
  await expect(header).toHaveAttribute('aria-sort', 'descending');
  await expect(manager.names).toHaveText(['Beta', 'alpha 10', 'Alpha 9']);
  await manager.root.getByRole('button', { name: 'Master' }).click();
  await expect(header).toHaveAttribute('aria-sort', 'none');
  await expect(manager.names).toHaveText(['Beta', 'Alpha 9', 'alpha 10']);

  await manager.root.getByRole('searchbox').fill('alpha local');
  await expect(manager.names).toHaveText(['Alpha 9']);
  await expect(manager.count).toHaveText('1 of 3 kernels');
  await manager.root.getByRole('searchbox').fill('nothing');
  await expect(manager.root).toContainText('No kernel has all of “nothing”.');

  await reload(page);
  await expect(manager.names).toHaveText(['Alpha 9', 'alpha 10', 'Beta']);
  await expect(manager.root).toHaveCount(1);
});

test('a kernel is made, renamed, deleted and brought back by keyboard alone', async ({
  page,
  dialog
}) => {
  const manager = new Manager(page);
  await manager.open();
  await expect(manager.root).toContainText('There is no PySpark kernel yet.');
  await manager.expectAccessible();
  await manager.picture('empty.png');
  for (const name of ['First', 'Second']) {
    await manager.root.getByRole('searchbox').focus();
    await page.keyboard.press('Tab');
    await expect(
      manager.root.getByRole('button', { name: 'Create', exact: true })
    ).toBeFocused();
    await page.keyboard.press('Enter');
    await expect(dialog.field('Name')).toBeFocused();
    await page.keyboard.type(name);
    await page.keyboard.press('Enter');
    await expect(dialog.root).toBeHidden();
    await expect(manager.row(name)).toHaveAttribute('tabindex', '0');
  }

  // From the toolbar over the headers to the row that was made last.
  await manager.root.getByRole('button', { name: 'Last test' }).focus();
  await page.keyboard.press('Tab');
  await expect(manager.row('Second')).toBeFocused();
  await page.keyboard.press('Home');
  await expect(manager.row('First')).toBeFocused();
  await page.keyboard.press('Tab');
  await expect(page.locator(':focus')).toHaveText('Edit');
  await page.keyboard.press('Tab');
  await page.keyboard.press('Tab');
  // Only the row of the keyboard has buttons for it.
  await expect(manager.root.locator('tbody :focus')).toHaveCount(0);
  await page.keyboard.press('Shift+Tab');
  await page.keyboard.press('ArrowDown');
  await expect(manager.row('Second')).toBeFocused();

  await page.keyboard.press('F2');
  await expect(
    manager.dialog.getByLabel('Name', { exact: true })
  ).toBeFocused();
  await page.keyboard.press('Control+A');
  await page.keyboard.type('First');
  await page.keyboard.press('Enter');
  await expect(manager.dialog.getByRole('alert').first()).toContainText(
    'is called'
  );
  await expect(
    manager.dialog.getByLabel('Name', { exact: true })
  ).toBeFocused();
  await manager.expectAccessible('.jp-Dialog');
  await manager.picture('rename.png');
  await page.keyboard.press('Control+A');
  await page.keyboard.type('Third');
  await page.keyboard.press('Enter');
  await expect(manager.dialog).toBeHidden();
  await expect(manager.names).toHaveText(['First', 'Third']);
  await expect(manager.row('Third')).toBeFocused();

  await page.keyboard.press('Enter');
  await expect(dialog.field('Name')).toHaveValue('Third');
  await expect(dialog.field('Name')).toBeFocused();
  await page.keyboard.press('Escape');
  await expect(manager.row('Third')).toBeFocused();

  await page.keyboard.press('Shift+F10');
  await expect(manager.menu).toBeVisible();
  await page.keyboard.press('End');
  await expect(
    manager.menu.getByRole('menuitem', { name: 'Delete' })
  ).toBeFocused();
  await page.keyboard.press('Escape');
  await expect(manager.menu).toBeHidden();
  await expect(manager.row('Third')).toBeFocused();

  await page.keyboard.press('Delete');
  await expect(manager.names).toHaveText(['First']);
  await expect(manager.row('First')).toBeFocused();
  const deleted = notification(page, '“Third” was deleted.');
  await deleted.getByRole('button', { name: 'Undo' }).press('Enter');
  await expect(manager.names).toHaveText(['First', 'Third']);
  await expect(
    notification(page, '“Third” is as it was before.')
  ).toBeVisible();
});

for (const theme of ['light', 'dark'] as const) {
  test(`nobody is shut out of the panel (${theme})`, async ({
    page,
    dialog,
    request,
    baseURL
  }) => {
    void dialog;
    symlinkSync(SPARK, GONE);
    await make(request, baseURL, 'Reporting', {
      master: 'spark://spark-master.example.org:7077'
    });
    await make(request, baseURL, 'Without its environment', {
      environment: GONE
    });
    unlinkSync(GONE);
    await make(request, baseURL, 'Trial');
    if (theme === 'dark') {
      await page.theme.setDarkTheme();
    }
    const manager = new Manager(page);
    await manager.open();
    const broken = manager.row('Without its environment');
    await expect(broken).toContainText('Broken');
    const cause = `There is no Python at ${GONE}/bin/python.`;
    await expect(broken).toContainText(cause);
    await manager.expectAccessible();
    await manager.picture(`${theme}-beside.png`);
    await page.sidebar.close('left');
    await manager.picture(`${theme}.png`);

    await manager
      .row('Trial')
      .getByRole('button', { name: 'More actions for Trial' })
      .click();
    await expect(
      manager.menu.getByRole('menuitem', { name: 'Edit' })
    ).toBeFocused();
    await manager.expectAccessible('.jp-PySparkKernels-menu');
    await manager.picture(`${theme}-menu.png`);
    await page.keyboard.press('Escape');

    await manager.choose('Without its environment', 'Diagnose…');
    await expect(manager.dialog.getByText(cause)).toHaveCount(1);
    await manager.expectAccessible('.jp-Dialog');
    await manager.picture(`${theme}-doctor.png`);
    await page.keyboard.press('Escape');

    await page.setViewportSize({ width: 460, height: 768 });
    await manager.picture(`${theme}-narrow.png`);
    const isCut = await manager.root.evaluate(
      root => root.scrollWidth > root.clientWidth
    );
    expect(isCut).toBe(false);
  });
}

test('a kernel is exported, and imported again', async ({
  page,
  dialog,
  request,
  baseURL
}) => {
  await make(request, baseURL, 'Exported', {
    executor_memory: '3g',
    conf: { 'spark.sql.shuffle.partitions': '7' }
  });
  const manager = new Manager(page);
  await manager.open();
  await manager.choose('Exported', 'Export…');
  const text = manager.dialog.locator('pre');
  await expect(text).toContainText('spark.sql.shuffle.partitions');
  const file = await text.textContent();
  await manager.dialog.getByLabel('As').selectOption('spark-defaults');
  await expect(text).toContainText('spark.executor.memory');
  await manager.dialog.getByLabel('As').selectOption('spark-submit');
  await expect(text).toContainText('spark-submit');
  const line = await text.textContent();
  await manager.expectAccessible('.jp-Dialog');
  await manager.picture('export.png');
  const download = page.waitForEvent('download');
  await manager.dialog.getByRole('button', { name: /^Download/ }).click();
  expect(readFileSync(await (await download).path(), 'utf8')).toBe(line);
  await page.keyboard.press('Escape');

  for (const [given, name] of [
    [file, 'From the file'],
    [line, 'From the line']
  ]) {
    await manager.root.getByRole('button', { name: 'Import…' }).click();
    await manager.dialog.getByLabel('Text').fill(given ?? '');
    const go = manager.dialog.getByRole('button', { name: 'Continue' });
    await go.click();
    await expect(
      manager.dialog
        .getByText('Press the button again to go on.')
        .or(dialog.field('Name'))
        .first()
    ).toBeVisible();
    if (await go.isVisible()) {
      await manager.picture('import-remarks.png');
      await go.click();
    }
    await dialog.field('Name').fill(String(name));
    await expect(dialog.field('Executor memory')).toHaveValue('3g');
    await dialog.create();
    await expect(manager.row(String(name))).toBeVisible();
  }
});

test('what cannot be read is said, and what was typed stays', async ({
  page
}) => {
  const manager = new Manager(page);
  await manager.open();
  await manager.root.getByRole('button', { name: 'Import…' }).click();
  const text = manager.dialog.getByLabel('Text');
  await text.fill('rm -rf /');
  await manager.dialog.getByRole('button', { name: 'Continue' }).click();
  await expect(manager.dialog.getByRole('alert').first()).not.toBeEmpty();
  await expect(text).toHaveValue('rm -rf /');
  await manager.picture('refused.png');
});

test('a test shows how far it is in the row, and what came of it', async ({
  page,
  dialog,
  request,
  baseURL
}) => {
  void dialog;
  await make(request, baseURL, 'Tested');
  const manager = new Manager(page);
  await manager.open();
  const cell = manager.row('Tested').locator('[data-column="test"]');
  await expect(cell).toHaveText('never');
  await manager.choose('Tested', 'Test');
  await expect(cell.locator('.jp-PySparkKernels-running')).toBeVisible();
  await manager.picture('testing.png');
  await expect(cell).toContainText('Passed', { timeout: 120_000 });
  await cell.getByRole('button', { name: 'Details' }).click();
  await expect(manager.dialog).toContainText('Test passed.');
  await manager.expectAccessible('.jp-Dialog');
  await manager.picture('tested.png');
  await page.keyboard.press('Escape');
  await reload(page);
  await expect(cell).toContainText('Passed');
});

test('500 kernels, 50 of them broken, are shown with 50 reasons', async ({
  page,
  dialog,
  request,
  baseURL
}) => {
  void dialog;
  await make(request, baseURL, 'Model', { name: 'model' });
  const names = Array.from({ length: MANY - 1 }, (_, i) => `many-${i}`);
  const spec = readFileSync(join(KERNELS, 'model/kernel.json'), 'utf8');
  for (const [index, name] of names.entries()) {
    cpSync(join(KERNELS, 'model'), join(KERNELS, name), { recursive: true });
    const changed = spec
      .replaceAll('Model', `Many ${index}`)
      .replaceAll('"model"', `"${name}"`);
    const isBroken = index < BROKEN;
    writeFileSync(
      join(KERNELS, name, 'kernel.json'),
      isBroken ? changed.replaceAll(SPARK, `/gone/${index}`) : changed
    );
  }
  try {
    const routes = `${baseURL}/jupyterlab-pyspark-kernels`;
    const asked = Date.now();
    const listed = await (await request.get(`${routes}/kernels`)).json();
    console.log(`the server lists ${listed.length}: ${Date.now() - asked} ms`);
    const manager = new Manager(page);
    await manager.open();
    await expect(manager.count).toHaveText(`${MANY} kernels`);
    const figures = await page.evaluate(async count => {
      const root = document.querySelector('.jp-PySparkKernels-Manager')!;
      const rows = () => root.querySelectorAll('tbody tr').length;
      const frame = () => new Promise(requestAnimationFrame);
      const until = async (isDone: () => boolean) => {
        const start = performance.now();
        while (!isDone()) {
          await frame();
        }
        await frame();
        return Math.round(performance.now() - start);
      };
      const search = root.querySelector<HTMLInputElement>('[type="search"]')!;
      const type = (text: string) => {
        const { set } = Object.getOwnPropertyDescriptor(
          HTMLInputElement.prototype,
          'value'
        )!;
        set!.call(search, text);
        search.dispatchEvent(new Event('input', { bubbles: true }));
      };
      type('nothing at all');
      await until(() => rows() === 0);
      type('');
      const all = await until(() => rows() === count);
      type('many 49');
      const found = await until(() => rows() < count);
      type('');
      await until(() => rows() === count);
      root.querySelector<HTMLElement>('thead button')!.click();
      const sorted = await until(
        () =>
          root.querySelector('tbody tr')!.textContent!.includes('Model') ===
          false
      );
      return { all, found, sorted };
    }, MANY);
    console.log(`${MANY} rows drawn: ${JSON.stringify(figures)} ms`);
    await expect(manager.root.locator('[data-mark="broken"]')).toHaveCount(
      BROKEN
    );
    await page.keyboard.press('Tab');
    await manager.root.locator('tbody tr[tabindex="0"]').focus();
    await page.keyboard.press('End');
    await expect(manager.root.locator('tbody tr').last()).toBeInViewport();
    await expect(manager.root.locator('tbody tr').last()).toBeFocused();
  } finally {
    for (const name of names) {
      rmSync(join(KERNELS, name), { recursive: true, force: true });
    }
  }
});
