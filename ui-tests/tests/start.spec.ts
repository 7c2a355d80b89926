import { gzipSync } from 'zlib';
import { expect, test } from './fixtures';

const OURS = '/jupyterlab-pyspark-kernels/';

test.describe('at the start', () => {
  test.use({ autoGoto: false });

  test('little is fetched, and our server is not asked', async ({ page }) => {
    const files: { url: string; raw: number; gzip: number }[] = [];
    const asked: string[] = [];
    page.on('response', async response => {
      const url = response.url();
      if (url.includes(`/lab/extensions${OURS}`)) {
        const body = await response.body();
        files.push({ url, raw: body.length, gzip: gzipSync(body).length });
      } else if (new URL(url).pathname.startsWith(OURS)) {
        asked.push(url);
      }
    });
    await page.goto();
    await page.locator('.jp-LauncherCard').first().waitFor();
    await page.waitForTimeout(4000);

    const raw = files.reduce((sum, file) => sum + file.raw, 0);
    const gzip = files.reduce((sum, file) => sum + file.gzip, 0);
    console.log(
      `fetched at start: ${files.length} files, ${raw} B, ${gzip} B gzip`
    );
    expect(files.length).toBeGreaterThan(0);
    expect(raw).toBeLessThanOrEqual(24_000);
    expect(gzip).toBeLessThanOrEqual(10_000);
    expect(asked).toEqual([]);
  });
});

test('a kernel that is made in one window appears in every other', async ({
  page,
  dialog,
  browser,
  baseURL
}) => {
  const other = await browser.newPage();
  await other.goto(`${baseURL}/lab/workspaces/other`);
  await other.locator('.jp-LauncherCard').first().waitFor();
  await dialog.open();
  await dialog.field('Name').fill('Seen Everywhere');
  await dialog.create();
  await expect(dialog.root).toBeHidden();
  // JupyterLab itself would ask after a minute.
  await expect(
    other.locator('.jp-LauncherCard', { hasText: 'Seen Everywhere' }).first()
  ).toBeVisible({ timeout: 15_000 });
  await other.close();
});
