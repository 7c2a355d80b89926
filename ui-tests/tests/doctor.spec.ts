import type { IJupyterLabPageFixture } from '@jupyterlab/galata';
import type { APIRequestContext } from '@playwright/test';
import { execFileSync } from 'child_process';
import { readdirSync, rmSync, symlinkSync } from 'fs';
import { join, resolve } from 'path';
import {
  expect,
  notification,
  sitePackages,
  test,
  WORKSPACE
} from './fixtures';

const LAB = resolve(__dirname, '../../.dev/lab/bin');
const LEAVING = join(WORKSPACE, 'without-ipykernel');

/** What the command line says of a kernel: the cause, and what to do. */
function told(name: string): string {
  const folder = process.env.PYSPARK_KERNELS_UI_FOLDER ?? '';
  const printed = execFileSync(
    join(LAB, 'jupyter'),
    ['pyspark-kernels', 'doctor', name, '--json'],
    {
      env: {
        ...process.env,
        PATH: `${LAB}:${process.env.PATH}`,
        JUPYTER_DATA_DIR: join(folder, 'data'),
        JUPYTER_CONFIG_DIR: join(folder, 'config'),
        JUPYTER_RUNTIME_DIR: join(folder, 'runtime')
      }
    }
  );
  const [{ cause, fix }] = JSON.parse(String(printed));
  return `${cause} ${fix}`;
}

async function make(
  request: APIRequestContext,
  baseURL: string | undefined,
  config: object
): Promise<void> {
  const url = `${baseURL}/jupyterlab-pyspark-kernels/kernels`;
  const answer = await request.post(url, { data: config });
  expect(answer.status()).toBe(201);
}

async function openNotebook(
  page: IJupyterLabPageFixture,
  label: string
): Promise<void> {
  await page.locator('.jp-LauncherCard', { hasText: label }).first().click();
  await page.locator('.jp-CodeCell .cm-content').first().click();
}

async function run(page: IJupyterLabPageFixture, code: string): Promise<void> {
  await page.keyboard.insertText(code);
  await page.keyboard.press('Shift+Enter');
}

for (const theme of ['light', 'dark'] as const) {
  test(`a notebook without Spark says what the doctor says (${theme})`, async ({
    page,
    dialog,
    request,
    baseURL
  }) => {
    if (theme === 'dark') {
      await page.theme.setDarkTheme();
    }
    await make(request, baseURL, {
      display_name: 'Refused',
      environment: join(WORKSPACE, '.venv'),
      master: 'spark://127.0.0.1:1'
    });
    await openNotebook(page, 'Refused');
    await expect(
      page.getByRole('button', { name: 'Refused | Idle' })
    ).toBeVisible({ timeout: 60_000 });
    await run(page, 'spark.range(1).count()');
    const note = notification(page, 'Nobody listens at spark://127.0.0.1:1.');
    await expect(note).toBeVisible({ timeout: 60_000 });
    await expect(note).toContainText(told('refused'));
    await expect(page.locator('.jp-OutputArea-output')).toContainText(
      told('refused')
    );
    await page.screenshot({
      path: test.info().outputPath(`refused-${theme}.png`)
    });

    // The same failure once more is no news.
    await run(page, 'spark.range(2).count()');
    await expect(page.locator('.jp-OutputArea-output')).toHaveCount(2);
    await page.waitForTimeout(1000);
    await expect(note).toHaveCount(1);

    await note.getByRole('button', { name: 'Edit the Master…' }).click();
    await expect(dialog.field('Name')).toBeFocused();
    await expect(dialog.field('Master')).toHaveValue('spark://127.0.0.1:1');
    await page.keyboard.press('Escape');
    await expect(dialog.root).toBeHidden();
  });
}

test('a kernel whose ipykernel is gone is given one again', async ({
  page,
  dialog,
  request,
  baseURL
}) => {
  test.setTimeout(300_000);
  await expect(dialog.root).toHaveCount(0);
  const pip = (...args: string[]) =>
    execFileSync(join(LEAVING, 'bin', 'python'), ['-m', 'pip', ...args]);
  rmSync(LEAVING, { recursive: true, force: true });
  try {
    execFileSync(join(LAB, 'python'), ['-m', 'venv', LEAVING]);
    pip('install', '--quiet', 'ipykernel');
    const packages = sitePackages();
    for (const name of readdirSync(packages)) {
      if (/^(pyspark|py4j)/.test(name)) {
        symlinkSync(join(packages, name), join(sitePackages(LEAVING), name));
      }
    }
    await make(request, baseURL, {
      display_name: 'Bereft',
      environment: LEAVING,
      master: 'local[1]'
    });
    pip('uninstall', '--quiet', '--yes', 'ipykernel');

    await openNotebook(page, 'Bereft');
    const note = notification(page, 'has no ipykernel');
    await expect(note).toBeVisible({ timeout: 90_000 });
    await page.screenshot({ path: test.info().outputPath('bereft.png') });
    await expect(
      note.getByRole('button', { name: 'Copy Command' })
    ).toBeVisible();
    await note.getByRole('button', { name: 'Install ipykernel' }).click();
    await expect(
      notification(page, 'The environment can be used now.')
    ).toBeVisible({ timeout: 120_000 });
  } finally {
    rmSync(LEAVING, { recursive: true, force: true });
  }
});
