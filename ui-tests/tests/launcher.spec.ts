import { join } from 'path';
import { expect, test, WORKSPACE } from './fixtures';

const LONGEST = 100;

/** What somebody could call a kernel to break a page, a template, a command or a path. */
const ACCEPTED = [
  '<img src=x onerror="document.title = 1">',
  '</p></div><script>document.title = 1</script>',
  '<b>bold</b> & &amp; &lt; &#x202e;',
  `'single' "double" \`back\` \\ \\n`,
  '${USER} $HOME $(id) {connection_file} {resource_dir} {{x}}',
  '%s %(name)s %n $$',
  'עברית العربية, right to left',
  '🚀 👩 🇩🇪 ✅',
  '漢字かな交じり文',
  'a\u0301 e\u0308 \u0e49',
  'two  blanks, and a\u00a0third',
  '../../etc/passwd',
  'javascript:alert(1)',
  '__proto__',
  'constructor',
  'null',
  '0',
  'Python 3 (ipykernel) ',
  'W'.repeat(LONGEST),
  '<'.repeat(LONGEST)
].map(label => label.trim());

const REFUSED = [
  '',
  ' ',
  'W'.repeat(LONGEST + 1),
  'W'.repeat(255),
  'a mark \u200f of right to left',
  'an override \u202e of it',
  'no\u200bwidth',
  'a family 👨\u200d👩',
  'half a pair \ud83d',
  'two\nlines',
  'an escape \u001b[31m'
];

test('the launcher shows all tiles with any label that we accept', async ({
  page,
  dialog,
  request,
  baseURL
}) => {
  void dialog;
  const cards = page.locator('.jp-LauncherCard[data-category="Notebook"]');
  await cards.first().waitFor();
  const before = (await cards.allTextContents()).sort();
  const [native] = before;
  const labels = ACCEPTED.filter(label => label !== native);
  expect(labels.length).toBeLessThan(ACCEPTED.length);

  const create = (name: string, label: string) =>
    request.post(`${baseURL}/jupyterlab-pyspark-kernels/kernels`, {
      data: {
        name,
        display_name: label,
        environment: join(WORKSPACE, '.venv')
      }
    });
  for (const [index, label] of labels.entries()) {
    const response = await create(`label-${index}`, label);
    expect(response.status(), await response.text()).toBe(201);
  }
  for (const label of REFUSED) {
    const response = await create('refused', label);
    expect(response.status(), label).toBe(400);
    expect((await response.json()).errors[0].field).toBe('display_name');
  }
  // Not even as another spelling of the native kernel's.
  expect((await create('refused', native.toUpperCase())).status()).toBe(409);

  await page.reload();
  await expect(cards).toHaveCount(before.length + labels.length);
  const shown = await cards.allTextContents();
  expect(shown.sort()).toEqual([...before, ...labels].sort());
  await expect(page.locator('.jp-Launcher [src="x"]')).toHaveCount(0);
  expect(await page.title()).toContain('Jupyter');

  await page.screenshot({ path: test.info().outputPath('launcher.png') });

  // And they can be used.
  await cards.filter({ hasText: native }).first().click();
  await expect(
    page.getByRole('button', { name: `${native} | Idle` })
  ).toBeVisible({ timeout: 60_000 });
});
