// What the browser tests share.

import {
  expect,
  type IJupyterLabPageFixture,
  JupyterLabPage,
  test as base
} from '@jupyterlab/galata';
import type { APIRequestContext, Locator, Page } from '@playwright/test';
import AxeBuilder from '@axe-core/playwright';
import { readdirSync, rmSync, writeFileSync } from 'fs';
import { join } from 'path';

export { expect };

const ROUTES = 'jupyterlab-pyspark-kernels';

/** The folder that JupyterLab is opened in; its .venv has PySpark. */
export const WORKSPACE = process.env.PYSPARK_KERNELS_WORKSPACE ?? '';

// JupyterLab's start has 15 seconds otherwise.
const { waitForCondition } = JupyterLabPage.prototype;
JupyterLabPage.prototype.waitForCondition = function (
  condition,
  timeout = 60_000
) {
  return waitForCondition.call(this, condition, timeout);
};

/** Load JupyterLab anew, with what is open; galata's own way waits for a launcher. */
export async function reload(
  page: Pick<Page, 'evaluate' | 'waitForFunction' | 'waitForTimeout'>
): Promise<void> {
  // JupyterLab keeps the workspace a moment later.
  await page.waitForTimeout(2000);
  const before = await page.evaluate(() => performance.timeOrigin);
  await page.evaluate(() => void setTimeout(() => window.location.reload()));
  // The old page is there until the server answers.
  await page.waitForFunction(old => performance.timeOrigin !== old, before);
}

/** The dialog and what is done with it, as a person would. */
export class KernelDialog {
  constructor(readonly page: Pick<Page, 'locator' | 'keyboard'>) {
    this.root = page.locator('.jp-PySparkKernels-Dialog');
  }

  readonly root: Locator;

  /** Open it by the launcher's tile; it begins with its first field. */
  async open(first = 'Name'): Promise<void> {
    await this.page
      .locator('.jp-LauncherCard', { hasText: 'Create PySpark Kernel' })
      .click();
    await expect(this.field(first)).toBeFocused();
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
    await this.root
      .getByRole('button', { name: 'Create', exact: true })
      .click();
  }

  /** Test what is described. */
  async test(): Promise<void> {
    await this.root.getByRole('button', { name: 'Test', exact: true }).click();
  }

  /** How far the test is, and what came of it. */
  get trial(): Locator {
    return this.root.getByRole('region', { name: 'Test', exact: true });
  }

  /** What the kernel's cluster has free. */
  get figures(): Locator {
    return this.root.locator('.jp-PySparkKernels-figures');
  }

  /** Describe a kernel that carries its environment to executors on this machine. */
  async carry(name: string): Promise<void> {
    await this.open();
    await this.field('Name').fill(name);
    await this.field('Master').fill('local-cluster[1,1,1024]');
    await this.root.getByText('Advanced').click();
    await this.root.getByLabel('Carry the environment').check();
  }

  /** What goes on in the dialog. */
  get progress(): Locator {
    return this.root.getByRole('progressbar');
  }
}

/** The notification of a task or a kernel. */
export function notification(
  page: IJupyterLabPageFixture,
  text: string | RegExp
): Locator {
  return page.locator('.Toastify__toast', { hasText: text });
}

/** Run a command of JupyterLab by the palette; right after the start no key opens that yet. */
export async function runCommand(
  page: Pick<Page, 'keyboard' | 'locator'>,
  label: string
): Promise<void> {
  const input = page.locator('.lm-CommandPalette-input');
  await expect(async () => {
    await page.keyboard.press('Control+Shift+C');
    // The launcher takes the focus at the start, and the palette goes then.
    await input.fill(label, { timeout: 1000 });
    await input.press('Enter', { timeout: 1000 });
    await expect(input).toBeHidden({ timeout: 4000 });
  }).toPass();
}

/** Make sure that nothing in a dialog shuts anybody out. */
export async function expectAccessible(
  page: IJupyterLabPageFixture
): Promise<void> {
  const { violations } = await new AxeBuilder({ page })
    .include('.jp-PySparkKernels-Dialog')
    .analyze();
  expect(violations.map(({ id, nodes }) => [id, nodes[0].html])).toEqual([]);
}

/** The directory of packages of an environment; without a path of the one that has PySpark. */
export function sitePackages(environment = join(WORKSPACE, '.venv')): string {
  const lib = join(environment, 'lib');
  return join(lib, readdirSync(lib)[0], 'site-packages');
}

/** Change the environment that has PySpark, so that it has to be packed anew. */
export function changeEnvironment(): void {
  const file = join(sitePackages(), 'of_the_browser_tests.py');
  writeFileSync(file, `MADE = ${Date.now()}\n`);
}

/** Take away what tests have put into the environment, and what executors on this machine have. */
export function restoreEnvironment(): void {
  for (const name of ['of_the_browser_tests.py', 'pyspark/work']) {
    rmSync(join(sitePackages(), name), { recursive: true, force: true });
  }
}

/** End all work, and forget it. */
async function forgetTasks(
  request: APIRequestContext,
  routes: string
): Promise<void> {
  const tasks = async () => (await request.get(`${routes}/tasks`)).json();
  for (const { id } of await tasks()) {
    await request.delete(`${routes}/tasks/${id}`);
  }
  await expect
    .poll(async () => {
      const left = await tasks();
      return left.filter((task: { state: string }) => task.state === 'running');
    })
    .toEqual([]);
  for (const { id } of await tasks()) {
    await request.delete(`${routes}/tasks/${id}`);
  }
}

/** The tests' fixtures: the dialog, and kernels that are gone when the test ends. */
export const test = base.extend<{ dialog: KernelDialog }>({
  dialog: async ({ page, request, baseURL }, use) => {
    await use(new KernelDialog(page));
    const routes = `${baseURL}/${ROUTES}`;
    await forgetTasks(request, routes);
    const kernels = await (await request.get(`${routes}/kernels`)).json();
    for (const { place, name } of kernels) {
      await request.delete(`${routes}/kernels/${place}/${name}`);
    }
  }
});
