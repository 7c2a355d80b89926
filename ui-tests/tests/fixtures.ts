// What the browser tests share.

import {
  expect,
  type IJupyterLabPageFixture,
  test as base
} from '@jupyterlab/galata';
import type { Locator } from '@playwright/test';

export { expect };

const ROUTES = 'jupyterlab-pyspark-kernels';

/** The dialog and what is done with it, as a person would. */
export class KernelDialog {
  constructor(readonly page: IJupyterLabPageFixture) {
    this.root = page.locator('.jp-PySparkKernels-Dialog');
  }

  readonly root: Locator;

  /** Open it by the launcher's tile. */
  async open(): Promise<void> {
    await this.page
      .locator('.jp-LauncherCard', { hasText: 'Create PySpark Kernel' })
      .click();
    await expect(this.field('Name')).toBeFocused();
  }

  /** An input by its label. */
  field(label: string): Locator {
    return this.root.getByLabel(label, { exact: false }).first();
  }

  /** Type into a field and go on to the next: what is being typed is not wrong yet. */
  async type(label: string, text: string): Promise<void> {
    await this.field(label).fill(text);
    await this.page.keyboard.press('Tab');
  }

  /** Everything that belongs to a field of the form: errors, hints, explanation. */
  around(name: string): Locator {
    return this.root.locator(`[data-field="${name}"]`);
  }

  async create(): Promise<void> {
    await this.root.getByRole('button', { name: 'Create' }).click();
  }
}

/** The tests' fixtures: the dialog, and kernels that are gone when the test ends. */
export const test = base.extend<{ dialog: KernelDialog }>({
  dialog: async ({ page, request, baseURL }, use) => {
    await use(new KernelDialog(page));
    const routes = `${baseURL}/${ROUTES}`;
    const kernels = await (await request.get(`${routes}/kernels`)).json();
    for (const { place, name } of kernels) {
      await request.delete(`${routes}/kernels/${place}/${name}`);
    }
  }
});
