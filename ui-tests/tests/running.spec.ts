import AxeBuilder from '@axe-core/playwright';
import type { APIRequestContext, Locator } from '@playwright/test';
import { type ChildProcess, spawn } from 'child_process';
import { readdirSync, readFileSync, writeFileSync } from 'fs';
import { join } from 'path';
import { expect, test, WORKSPACE } from './fixtures';

const FOLDER = process.env.PYSPARK_KERNELS_UI_FOLDER ?? '';
const DATA = join(FOLDER, 'data');
const STATUS = join(FOLDER, 'runtime', 'pyspark-kernels');
const SECTION = '.jp-RunningSessions-section';

async function create(
  request: APIRequestContext,
  baseURL: string | undefined,
  name: string
): Promise<void> {
  const url = `${baseURL}/jupyterlab-pyspark-kernels/kernels`;
  const data = {
    name,
    display_name: name,
    environment: join(WORKSPACE, '.venv'),
    master: 'local[1]'
  };
  expect((await request.post(url, { data })).status()).toBe(201);
}

/** How the Sparks of all kernels are, by the pids of these. */
function stages(): Map<number, string> {
  const files = readdirSync(STATUS).filter(name => name.endsWith('.json'));
  const told = files.flatMap(name => {
    try {
      return [JSON.parse(readFileSync(join(STATUS, name), 'utf-8'))];
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') {
        throw error;
      }
      // Its kernel has ended meanwhile.
      return [];
    }
  });
  return new Map(told.map(({ pid, stage }) => [pid, stage]));
}

/** Start a kernel that stays when who started it is killed, and kill that. */
async function leaveBehind(name: string): Promise<number> {
  const file = join(DATA, 'kernels', name, 'kernel.json');
  const spec = JSON.parse(readFileSync(file, 'utf-8'));
  spec.argv.unshift('/usr/bin/env', '-u', 'JPY_PARENT_PID');
  writeFileSync(file, JSON.stringify(spec));
  const before = stages();
  const starter: ChildProcess = spawn(
    join(WORKSPACE, '..', 'lab', 'bin', 'jupyter'),
    ['kernel', `--kernel=${name}`],
    {
      env: {
        ...process.env,
        JUPYTER_DATA_DIR: DATA,
        JUPYTER_RUNTIME_DIR: join(FOLDER, 'runtime')
      },
      stdio: 'ignore'
    }
  );
  const left = () => [...stages()].filter(([pid]) => !before.has(pid));
  await expect
    .poll(() => left().map(([, stage]) => stage), { timeout: 200_000 })
    .toEqual(['ready']);
  starter.kill('SIGKILL');
  return left()[0][0];
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

for (const theme of ['light', 'dark'] as const) {
  test(`running Spark applications are listed and stopped (${theme})`, async ({
    page,
    // Takes the kernels away afterwards.
    dialog: _,
    request,
    baseURL
  }) => {
    test.setTimeout(600_000);
    if (theme === 'dark') {
      await page.theme.setDarkTheme();
    }
    const shot = (what: string) =>
      page.screenshot({
        path: test.info().outputPath(`${what}-${theme}.png`)
      });
    const asked: string[] = [];
    page.on('request', sent => {
      if (sent.url().includes('/jupyterlab-pyspark-kernels/applications')) {
        asked.push(sent.method());
      }
    });
    const [name, lost] = [`runs-${theme}`, `lost-${theme}`];
    await create(request, baseURL, name);
    await page.locator('.jp-LauncherCard', { hasText: name }).first().click();
    await page.locator('.jp-CodeCell .cm-content').first().click();
    await expect(
      page.getByRole('button', { name: `${name} | Idle` })
    ).toBeVisible({ timeout: 60_000 });
    const run = async (code: string, shown: string) => {
      await page.locator('.jp-CodeCell .cm-content').last().click();
      await page.keyboard.insertText(code);
      await page.keyboard.press('Shift+Enter');
      await expect(page.locator('.jp-OutputArea-output').last()).toContainText(
        shown,
        { timeout: 200_000 }
      );
    };
    await run('mine = spark.range(41).count(); print(mine)', '41');
    // As long as nobody looks, nothing is asked.
    expect(asked).toEqual([]);

    await page.sidebar.openTab('jp-running-sessions');
    const item = (text: string): Locator =>
      page.locator('.jp-PySparkKernels-application', { hasText: text });
    const one = item('Untitled.ipynb');
    await expect(one).toBeVisible();
    await expect(one).toContainText('local[1]');
    await expect(one).toContainText('ready');
    await expect(one.locator('.jp-RunningSessions-itemLabel')).toHaveAttribute(
      'title',
      new RegExp(`Kernel: ${name}`)
    );
    await shot('listed');
    const { violations } = await new AxeBuilder({ page })
      .include('.jp-PySparkKernels-application')
      .analyze();
    const ours = violations.flatMap(({ id, nodes }) =>
      nodes.map(({ html }) => [id, html])
    );
    // JupyterLab's own item holds its button.
    expect(ours.filter(([id]) => id !== 'nested-interactive')).toEqual([]);

    // By the keyboard to the notebook.
    await page.sidebar.openTab('jp-running-sessions');
    await one.getByRole('link').focus();
    await page.keyboard.press('Enter');
    await expect(
      page.getByRole('tab', { name: 'Untitled.ipynb', exact: true })
    ).toHaveAttribute('aria-selected', 'true');

    await one.hover();
    await one.locator('.jp-RunningSessions-itemShutdown').click();
    const question = page.locator('.jp-Dialog');
    await expect(question).toContainText('Stop the Spark of “Untitled.ipynb”?');
    await expect(question).toContainText('variables of Python stay');
    await shot('question');
    await question.getByRole('button', { name: 'Stop' }).click();
    await expect(one).toHaveCount(0, { timeout: 60_000 });
    await expect(
      page
        .locator('.jp-NotebookPanel .jp-PySparkKernels-indicator')
        .getByRole('button')
    ).toHaveText('Spark stopped');
    await shot('stopped');
    await run('print(mine + 1)', '42');
    await run('print(spark.range(43).count())', '43');
    await expect(
      page.locator('.jp-OutputArea-output', {
        hasText: 'Spark was stopped on request and is back'
      })
    ).toHaveCount(1);
    await expect(one).toBeVisible({ timeout: 30_000 });

    // One whose server is gone.
    await create(request, baseURL, lost);
    const pid = await leaveBehind(lost);
    const orphan = item(lost);
    await expect(orphan).toContainText('no kernel', { timeout: 30_000 });
    await shot('orphan');
    await orphan.hover();
    await orphan.locator('.jp-RunningSessions-itemShutdown').click();
    await expect(question).toContainText('its variables are lost');
    await question.getByRole('button', { name: 'Stop' }).click();
    await expect(orphan).toHaveCount(0, { timeout: 60_000 });
    await expect.poll(() => isAlive(pid)).toBe(false);

    // All that is left.
    await expect(one).toBeVisible();
    await page
      .locator('#jp-running-sessions')
      .getByRole('button', { name: 'Stop All' })
      .click();
    await expect(question).toContainText('variables of Python stay');
    await shot('all');
    await question.getByRole('button', { name: 'Stop All' }).click();
    await expect(page.locator('.jp-PySparkKernels-application')).toHaveCount(
      0,
      { timeout: 60_000 }
    );

    await page.sidebar.openTab('filebrowser');
    await expect(page.locator(SECTION).first()).toBeHidden();
    asked.length = 0;
    await page.waitForTimeout(12_000);
    expect(asked).toEqual([]);
  });
}
