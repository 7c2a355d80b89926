import { ServerConnection } from '@jupyterlab/services';
import { nullTranslator } from '@jupyterlab/translation';
import { fireEvent, screen, waitFor, within } from '@testing-library/dom';
import { Api, type Environment, type Kernel, type Task } from '../api';
import { type IKernelDialogOptions, showKernelDialog } from '../dialog';
import { shownTasks, type TaskState } from '../tasks/shown';
import {
  BROKEN,
  closeDialogs,
  DONE,
  ENVIRONMENTS,
  Events,
  FAILED,
  json,
  KERNEL,
  PREVIEW,
  refuse,
  Server,
  TASK
} from './server';

const trans = nullTranslator.load('');

let server: Server;
let events: Events;
let result: Promise<Kernel | null>;

beforeEach(() => {
  server = new Server();
  events = new Events();
});

afterEach(async () => {
  closeDialogs();
  await result;
  jest.restoreAllMocks();
});

async function open(
  options: Partial<IKernelDialogOptions> = {}
): Promise<void> {
  const api = new Api(ServerConnection.makeSettings());
  result = showKernelDialog({
    api,
    events: events.manager,
    trans,
    ...options
  });
  // The dialog puts the cursor into its first field, which ends what a test begins before.
  await waitFor(() =>
    expect(document.activeElement).toBe(screen.getByLabelText(/^Name/))
  );
}

async function goTo(label: string): Promise<void> {
  input(label).focus();
}

function input(label: string): HTMLInputElement {
  return screen.getByLabelText(new RegExp(`^${label}( \\(required\\))?$`));
}

function type(label: string, value: string): void {
  fireEvent.change(input(label), { target: { value } });
}

function press(button: string): void {
  fireEvent.click(screen.getByRole('button', { name: button }));
}

function pressEnterIn(label: string): void {
  input(label).focus();
  fireEvent.keyDown(input(label), { key: 'Enter' });
}

/** What is said of a field to those who do not see it. */
function descriptionOf(label: string): string {
  const ids = input(label).getAttribute('aria-describedby') ?? '';
  return ids
    .split(' ')
    .map(id => document.getElementById(id)?.textContent ?? `no ${id}`)
    .join(' ');
}

function descriptionOfPreview(): string | null | undefined {
  return folded('Preview of kernel.json').querySelector('p')?.textContent;
}

function folded(summary: string): HTMLDetailsElement {
  return screen.getByText(summary).closest('details') as HTMLDetailsElement;
}

describe('the fields', () => {
  it('have labels, and the server’s order', async () => {
    await open();
    const inputs = document.querySelectorAll<HTMLInputElement>(
      '.jp-PySparkKernels-input'
    );
    expect(
      Array.from(inputs).map(input => input.labels?.[0].textContent)
    ).toEqual([
      'Name (required)',
      'Python environment (required)',
      'Master',
      'Executor memory',
      'Executor cores',
      'Available to',
      'Queue',
      'Secrets',
      'Kernel name',
      'Driver memory',
      'Spark settings',
      'Environment variables'
    ]);
    expect(descriptionOf('Name')).toBe('What the launcher calls the kernel.');
    expect(input('Executor memory').placeholder).toBe('4g');
  });

  it('are advanced or not as the server says', async () => {
    await open();
    expect(folded('Advanced').open).toBe(false);
    expect(input('Driver memory').closest('details')).toBe(folded('Advanced'));
    expect(input('Master').closest('details')).toBeNull();
  });

  it('of identity and cost are a part of their own', async () => {
    await open();
    const identity = folded('Identity and cost');
    expect(identity.open).toBe(false);
    expect(input('Queue').closest('details')).toBe(identity);
    expect(input('Secrets').placeholder).toBe(
      'DB_PASSWORD file:/home/me/.db-password'
    );
  });

  it('of identity are shown when a command fills them in, and no others', async () => {
    await open({ args: { secrets: { 'spark.a.password': 'env:A' } } });
    expect(input('Secrets').value).toBe('spark.a.password env:A');
    await waitFor(() => expect(folded('Identity and cost').open).toBe(true));
    expect(folded('Advanced').open).toBe(false);
  });

  it('begin with defaults, settings and arguments, each before the last', async () => {
    await open({
      settings: { master: 'yarn', executor_memory: '2g', unknown: 'x' },
      args: { master: 'local[2]', executor_cores: 3, cwd: 'folder' }
    });
    expect(input('Master').value).toBe('local[2]');
    expect(input('Executor memory').value).toBe('2g');
    expect(input('Executor cores').value).toBe('3');
    expect(input('Driver memory').value).toBe('1g');
    expect(input('Available to').value).toBe('user');
  });

  it('show what a command fills in beforehand, even where it is folded away', async () => {
    await open({ args: { conf: { 'spark.jars': 'evil.jar' } } });
    expect(input('Spark settings').value).toBe('spark.jars evil.jar');
    await waitFor(() => expect(folded('Advanced').open).toBe(true));
  });
});

describe('creating', () => {
  it('sends exactly what was typed, and closes', async () => {
    await open();
    type('Name', ' My kernel');
    type('Executor memory', '4g');
    type('Executor cores', '2');
    type('Driver memory', '');
    type('Spark settings', 'spark.a=1\nspark.b  two words');
    type('Environment variables', 'A=1');
    press('Create');
    expect(await result).toEqual(KERNEL);
    expect(server.sent('POST', 'kernels').map(({ body }) => body)).toEqual([
      {
        display_name: ' My kernel',
        environment: '/envs/spark',
        master: 'local[*]',
        executor_memory: '4g',
        executor_cores: 2,
        place: 'user',
        carry: false,
        conf: { 'spark.a': '1', 'spark.b': 'two words' },
        env: { A: '1' }
      }
    ]);
    expect(document.querySelector('.jp-Dialog')).toBeNull();
  });

  it('leaves it to the server to say that something is no number', async () => {
    await open();
    type('Name', 'x');
    type('Executor cores', 'two');
    press('Create');
    await result;
    expect(server.sent('POST', 'kernels')[0].body).toMatchObject({
      executor_cores: 'two'
    });
  });

  it('leaves out what was emptied', async () => {
    await open();
    type('Name', 'x');
    type('Master', '');
    type('Environment variables', '# nothing');
    press('Create');
    await result;
    const body = server.sent('POST', 'kernels')[0].body;
    expect(body).not.toHaveProperty('master');
    expect(body).not.toHaveProperty('env');
  });

  it('posts nothing while a required field is empty, and goes there', async () => {
    await open();
    press('Create');
    await waitFor(() => expect(document.activeElement).toBe(input('Name')));
    expect(input('Name').getAttribute('aria-invalid')).toBe('true');
    expect(descriptionOf('Name')).toContain('Name is missing. Fill it in.');
    expect(server.sent('POST', 'kernels')).toEqual([]);
    type('Name', 'x');
    await waitFor(() =>
      expect(input('Name').getAttribute('aria-invalid')).toBe('false')
    );
  });

  it('is not begun by Enter while a required field is empty', async () => {
    await open();
    pressEnterIn('Master');
    await waitFor(() => expect(document.activeElement).toBe(input('Name')));
    expect(server.sent('POST', 'kernels')).toEqual([]);
  });

  it('is begun by Enter in a complete form', async () => {
    await open();
    type('Name', 'x');
    pressEnterIn('Name');
    expect(await result).toEqual(KERNEL);
  });

  it('names the line that cannot be read, unfolds it, and posts nothing', async () => {
    await open();
    type('Name', 'x');
    type('Spark settings', 'spark.a 1\nnonsense');
    expect(folded('Advanced').open).toBe(false);
    press('Create');
    await waitFor(() =>
      expect(document.activeElement).toBe(input('Spark settings'))
    );
    expect(folded('Advanced').open).toBe(true);
    expect(descriptionOf('Spark settings')).toContain(
      'Line 2, “nonsense”, cannot be read.'
    );
    expect(input('Spark settings').value).toBe('spark.a 1\nnonsense');
    expect(server.sent('POST', 'kernels')).toEqual([]);
  });

  it('stays open after a refusal, with each message at its field', async () => {
    server.answers['POST kernels'] = () =>
      refuse(
        409,
        { field: 'name', message: 'It is taken.' },
        { field: '', message: 'Something else.' },
        { field: 'unheard_of', message: 'A field of the future.' }
      );
    await open();
    type('Name', 'x');
    type('Kernel name', 'y');
    press('Create');
    await waitFor(() =>
      expect(document.activeElement).toBe(input('Kernel name'))
    );
    expect(folded('Advanced').open).toBe(true);
    expect(descriptionOf('Kernel name')).toContain('It is taken.');
    const general = screen
      .getAllByRole('alert')
      .find(node => node.textContent?.includes('Something else.'));
    expect(general?.textContent).toContain('A field of the future.');
    expect(input('Name').value).toBe('x');
    // Nothing was made, and the next try can be.
    server.answers['POST kernels'] = () => json(KERNEL, 201);
    type('Kernel name', 'other');
    press('Create');
    expect(await result).toEqual(KERNEL);
  });

  it('says at the label that the name made from it is taken', async () => {
    server.answers['POST kernels'] = () =>
      refuse(409, { field: 'name', message: '“x” exists already.' });
    await open();
    type('Name', 'X');
    press('Create');
    await waitFor(() =>
      expect(descriptionOf('Name')).toContain('“x” exists already.')
    );
    expect(document.activeElement).toBe(input('Name'));
    expect(folded('Advanced').open).toBe(false);
  });

  it('stays open when the server cannot be reached', async () => {
    server.answers['POST kernels'] = () => {
      throw new ServerConnection.NetworkError(new TypeError('Failed'));
    };
    await open();
    type('Name', 'x');
    press('Create');
    await screen.findByText(/The server cannot be reached/);
    expect(input('Name').value).toBe('x');
    // A check that was due before does not take the message away.
    await new Promise(resolve => setTimeout(resolve, 500));
    expect(screen.getByText(/The server cannot be reached/)).toBeTruthy();
  });

  it('is done once, however often it is asked for', async () => {
    let finish: () => void = () => undefined;
    server.answers['POST kernels'] = () =>
      new Promise(resolve => {
        finish = () => resolve(json(KERNEL, 201));
      });
    await open();
    type('Name', 'x');
    press('Create');
    const button = await screen.findByRole<HTMLButtonElement>('button', {
      name: 'Creating…'
    });
    expect(button.disabled).toBe(true);
    button.click();
    pressEnterIn('Name');
    finish();
    await result;
    expect(server.sent('POST', 'kernels').length).toBe(1);
  });

  it('gives the kernel even to somebody who closes the dialog meanwhile', async () => {
    let finish: () => void = () => undefined;
    server.answers['POST kernels'] = () =>
      new Promise(resolve => {
        finish = () => resolve(json(KERNEL, 201));
      });
    await open();
    type('Name', 'x');
    press('Create');
    await waitFor(() => expect(server.sent('POST', 'kernels').length).toBe(1));
    press('Cancel');
    finish();
    expect(await result).toEqual(KERNEL);
  });

  it('is given up by Cancel', async () => {
    await open();
    type('Name', 'x');
    press('Cancel');
    expect(await result).toBeNull();
    expect(server.sent('POST', 'kernels')).toEqual([]);
  });
});

/** Wait until React has drawn what an event has changed. */
function drawn(): Promise<void> {
  return new Promise(resolve => setTimeout(resolve));
}

/** Open the list of the environments, and give what stands in it. */
async function listed(): Promise<string[]> {
  const list = await screen.findByRole('listbox');
  return within(list)
    .getAllByRole('option')
    .map(option =>
      Array.from(option.children, ({ textContent }) => textContent).join(' | ')
    );
}

async function pressIn(label: string, key: string): Promise<void> {
  fireEvent.keyDown(input(label), { key });
  await drawn();
}

describe('the environments', () => {
  const field = 'Python environment';

  it('begin with the first usable one that has PySpark', async () => {
    await open();
    expect(input(field).value).toBe('/envs/spark');
    expect(screen.queryByRole('listbox')).toBeNull();
    fireEvent.click(input(field));
    expect(await listed()).toEqual([
      '/envs/plain | uv · Python 3.10.2 · no PySpark',
      '/envs/spark | conda · Python 3.11.7 · PySpark 4.3.0',
      '/envs/broken | venv · Python 3.9.1 · PySpark 4.3.0 | ' +
        'Cannot be used: It has no ipykernel'
    ]);
  });

  it('tell the thin client of Spark Connect', async () => {
    const thin = {
      ...ENVIRONMENTS.environments[1],
      packages: { 'pyspark-client': '4.2.0' }
    };
    server.answers['GET environments'] = () =>
      json({ environments: [thin], unanswered: [] });
    await open();
    fireEvent.click(input(field));
    expect((await listed())[0]).toContain('PySpark 4.2.0, Spark Connect only');
  });

  it.each<[string, Environment[], string]>([
    [
      'the first usable one',
      ENVIRONMENTS.environments.slice(0, 2),
      '/envs/plain'
    ],
    ['nothing', ENVIRONMENTS.environments.slice(0, 1), '']
  ])('else begin with %s', async (_, environments, value) => {
    server.answers['GET environments'] = () =>
      json({ environments, unanswered: [] });
    await open();
    expect(input(field).value).toBe(value);
  });

  it.each([
    ['kind', 'uv', ['/envs/plain']],
    ['version', '3.11', ['/envs/spark']],
    ['package', 'PySpark 4.3', ['/envs/spark', '/envs/broken']],
    ['path', '/envs/p', ['/envs/plain']]
  ])('are found by their %s', async (_, text, paths) => {
    await open();
    type(field, text);
    const found = await listed();
    expect(found.map(option => option.split(' | ')[0])).toEqual(paths);
    expect(input(field).value).toBe(text);
  });

  it('say that nothing matches', async () => {
    await open();
    type(field, 'nonsense');
    await drawn();
    expect(screen.queryByRole('listbox')).toBeNull();
    expect(input(field).getAttribute('aria-expanded')).toBe('false');
    expect(
      screen.getAllByText(/No environment that was found matches/).length
    ).toBeGreaterThan(0);
  });

  it('are chosen by the keyboard, and the form is not sent by it', async () => {
    await open({ args: { display_name: 'x' } });
    await goTo(field);
    await pressIn(field, 'ArrowDown');
    const active = () =>
      document.getElementById(
        input(field).getAttribute('aria-activedescendant') ?? ''
      )?.textContent;
    expect(active()).toContain('/envs/spark');
    await pressIn(field, 'ArrowUp');
    expect(active()).toContain('/envs/plain');
    await pressIn(field, 'ArrowUp');
    expect(active()).toContain('/envs/broken');
    await pressIn(field, 'ArrowDown');
    await pressIn(field, 'Enter');
    expect(input(field).value).toBe('/envs/plain');
    expect(screen.queryByRole('listbox')).toBeNull();
    expect(server.sent('POST', 'kernels')).toEqual([]);
    // With the list closed, Enter is the form's again.
    await pressIn(field, 'Enter');
    expect(await result).toEqual(KERNEL);
    expect(server.sent('POST', 'kernels')[0].body).toMatchObject({
      environment: '/envs/plain'
    });
  });

  it('are left by Escape, which the dialog does not hear', async () => {
    await open();
    await goTo(field);
    type(field, '/my/env');
    await drawn();
    await pressIn(field, 'ArrowDown');
    await pressIn(field, 'Escape');
    expect(input(field).value).toBe('/my/env');
    expect(document.querySelector('.jp-Dialog')).not.toBeNull();
    await pressIn(field, 'Escape');
    await waitFor(() =>
      expect(document.querySelector('.jp-Dialog')).toBeNull()
    );
  });

  it('can be given by any path', async () => {
    await open();
    type('Name', 'x');
    type(field, '');
    press('Create');
    await waitFor(() => expect(document.activeElement).toBe(input(field)));
    expect(server.sent('POST', 'kernels')).toEqual([]);
    type(field, '/my/env');
    press('Create');
    await result;
    expect(server.sent('POST', 'kernels')[0].body).toMatchObject({
      environment: '/my/env'
    });
  });

  it('tell where they may be without being listed', async () => {
    server.answers['GET environments'] = () =>
      json({ ...ENVIRONMENTS, unanswered: ['/net/a', '/net/b'] });
    await open();
    expect(screen.getByText(/did not answer/).textContent).toContain(
      '/net/a, /net/b'
    );
  });
});

describe('an environment without ipykernel', () => {
  const field = 'Python environment';
  const ready: Task = {
    ...TASK,
    kind: 'ready',
    title: 'Installing ipykernel into /envs/broken',
    environment: '/envs/broken'
  };

  async function choose(): Promise<void> {
    server.answers['POST environments/ready'] = () => json(ready, 202);
    server.answers['GET tasks/t1'] = () => json(ready);
    await open({ args: { display_name: 'x' } });
    type(field, '/envs/broken');
    await pressIn(field, 'Escape');
    fireEvent.focusOut(input(field));
    await drawn();
  }

  async function pressed(button: string): Promise<void> {
    fireEvent.click(await screen.findByRole('button', { name: button }));
    await drawn();
  }

  it('says once what is wrong with it', async () => {
    server.answers['POST preview'] = () =>
      refuse(400, { field: 'environment', message: 'It has no ipykernel.' });
    await choose();
    await waitFor(() =>
      expect(input(field).getAttribute('aria-invalid')).toBe('true')
    );
    expect(screen.getAllByText('It has no ipykernel.').length).toBe(1);
    expect(descriptionOf(field)).toContain('It has no ipykernel.');
  });

  it('is made ready after a question, and checked again', async () => {
    await choose();
    await pressed('Install ipykernel');
    expect(screen.getByText(/by pip as you have configured it/)).toBeTruthy();
    expect(server.sent('POST', 'environments/ready')).toEqual([]);
    await pressed('Install');
    await screen.findByRole('progressbar');
    expect(server.sent('POST', 'environments/ready')[0].body).toEqual({
      environment: '/envs/broken'
    });
    const before = server.sent('POST', 'preview').length;
    server.answers['GET environments'] = () =>
      json({
        environments: [{ ...BROKEN, problem: null, remedy: null }],
        unanswered: []
      });
    server.answers['GET tasks/t1'] = () =>
      json({ ...ready, state: 'done', kernel: null });
    events.tell({ ...ready, state: 'done' });
    await waitFor(() => expect(screen.queryByRole('progressbar')).toBeNull());
    await waitFor(() =>
      expect(screen.queryByText('It has no ipykernel.')).toBeNull()
    );
    expect(screen.queryByText('Install ipykernel')).toBeNull();
    await waitFor(() =>
      expect(server.sent('POST', 'preview').length).toBeGreaterThan(before)
    );
    expect(input(field).value).toBe('/envs/broken');
  });

  it('is left as it is by whoever says no', async () => {
    await choose();
    await pressed('Install ipykernel');
    fireEvent.keyDown(screen.getByRole('button', { name: 'Install' }), {
      key: 'Escape'
    });
    await drawn();
    expect(document.activeElement).toBe(
      screen.getByRole('button', { name: 'Install ipykernel' })
    );
    await pressed('Install ipykernel');
    await pressed('Do not install');
    expect(server.sent('POST', 'environments/ready')).toEqual([]);
  });

  it('says why it could not be made ready, and tries again', async () => {
    await choose();
    await pressed('Install ipykernel');
    await pressed('Install');
    await screen.findByRole('progressbar');
    const error = {
      message: 'pip said: no network',
      reason: 'x',
      errors: []
    };
    server.answers['GET tasks/t1'] = () =>
      json({ ...ready, state: 'failed', error });
    events.tell({ ...ready, state: 'failed' });
    await screen.findByText('pip said: no network');
    server.answers['GET tasks/t1'] = () => json(ready);
    server.answers['POST tasks/t1/resume'] = () => json(ready, 202);
    fireEvent.click(screen.getByText('Try again'));
    await screen.findByRole('progressbar');
    expect(screen.queryByText('pip said: no network')).toBeNull();
  });

  it('says why the server does not even begin', async () => {
    await choose();
    server.answers['POST environments/ready'] = () =>
      refuse(403, { field: 'environment', message: 'It is not yours.' });
    await pressed('Install ipykernel');
    await pressed('Install');
    await screen.findByText('It is not yours.');
  });
});

describe('carrying the environment', () => {
  it('is a box to check, and sent as yes or no', async () => {
    await open({ args: { display_name: 'x' } });
    expect(input('Carry it').checked).toBe(false);
    expect(descriptionOf('Carry it')).toBe('Packs it.');
    fireEvent.click(input('Carry it'));
    expect(input('Carry it').checked).toBe(true);
    press('Create');
    await result;
    expect(server.sent('POST', 'kernels')[0].body).toMatchObject({
      carry: true
    });
  });

  it('is not asked for by a command although the settings do', async () => {
    await open({ settings: { carry: true }, args: { carry: false } });
    expect(input('Carry it').checked).toBe(false);
  });

  it('tells of an edited kernel what is packed, and what saving does', async () => {
    const archive = {
      digest: 'd',
      uri: '/kept/d',
      bytes: 300 * 1024 ** 2,
      drift: 'pandas was 2.0 and is 2.1.'
    };
    const config = { ...KERNEL.config!, carry: true };
    await open({ kernel: { ...KERNEL, config, archive } });
    expect(screen.getByText('Packed: 300 MiB.')).toBeTruthy();
    expect(
      screen.getByText('pandas was 2.0 and is 2.1. Saving packs it anew.')
    ).toBeTruthy();
    fireEvent.click(input('Carry it'));
    expect(screen.queryByText('Packed: 300 MiB.')).toBeNull();
  });
});

describe('a kernel that a task writes', () => {
  let released: TaskState[];

  beforeEach(() => {
    released = [];
    shownTasks.onChanged = task => task && released.push(task);
    server.answers['POST kernels'] = () => json(TASK, 202);
  });

  async function begin(): Promise<void> {
    await open({ args: { display_name: 'x' } });
    // As the browser does when the form becomes inert, which jsdom does not know.
    input('Name').blur();
    press('Create');
    await screen.findByRole('progressbar');
  }

  it('shows how far it is over a form that rests, and closes when done', async () => {
    await begin();
    const bar = screen.getByRole('progressbar');
    expect(bar.getAttribute('aria-valuenow')).toBeNull();
    expect(input('Name').closest('[inert]')).not.toBeNull();
    await waitFor(() =>
      expect(document.activeElement?.contains(bar)).toBe(true)
    );
    expect(screen.getByRole('button', { name: 'Close' })).toBeTruthy();
    const packing: Task = {
      ...TASK,
      stage: 'Packing',
      bytes_done: 120 * 1024 ** 2,
      bytes_total: 700 * 1024 ** 2,
      files_done: 8_000,
      files_total: 22_886
    };
    server.answers['GET tasks/t1'] = () => json(packing);
    events.tell(packing);
    await screen.findByText('Packing — 120 of 700 MiB, 8,000 of 22,886 files');
    expect(bar.getAttribute('aria-valuenow')).toBe('17');
    server.answers['GET tasks/t1'] = () => json(DONE);
    events.tell(DONE);
    expect(await result).toEqual(KERNEL);
    expect(document.querySelector('.jp-Dialog')).toBeNull();
    expect(released).toEqual([DONE]);
  });

  it('is known to be done although no event came', async () => {
    server.answers['GET tasks/t1'] = () => json(DONE);
    await open({ args: { display_name: 'x' } });
    press('Create');
    expect(await result).toEqual(KERNEL);
  });

  it('goes on when the dialog is closed, and is asked for no more', async () => {
    await begin();
    await waitFor(() => expect(server.sent('GET', 'tasks/t1').length).toBe(1));
    press('Close');
    expect(await result).toBeNull();
    expect(server.sent('DELETE', 'tasks/t1')).toEqual([]);
    expect(released).toEqual([TASK]);
    events.tell({ ...TASK, state: 'done' });
    await new Promise(resolve => setTimeout(resolve, 100));
    expect(server.sent('GET', 'tasks/t1').length).toBe(1);
  });

  it('is handed on also when the dialog is closed before the answer', async () => {
    let answer: () => void = () => undefined;
    server.answers['POST kernels'] = () =>
      new Promise(resolve => {
        answer = () => resolve(json(TASK, 202));
      });
    await open({ args: { display_name: 'x' } });
    press('Create');
    await waitFor(() => expect(server.sent('POST', 'kernels').length).toBe(1));
    expect(shownTasks.has('t1')).toBe(true);
    press('Cancel');
    answer();
    expect(await result).toBeNull();
    expect(released).toEqual([TASK]);
    expect(shownTasks.has('t1')).toBe(false);
    expect(server.sent('GET', 'tasks/t1')).toEqual([]);
  });

  it('is cancelled, with what was typed still there', async () => {
    await begin();
    const cancelled: Task = { ...TASK, state: 'cancelled' };
    server.answers['DELETE tasks/t1'] = () => {
      server.answers['GET tasks/t1'] = () => json(cancelled);
      return new Response(null, { status: 204 });
    };
    press('Cancel: Creating “Demo”');
    await waitFor(() => expect(screen.queryByRole('progressbar')).toBeNull());
    expect(input('Name').value).toBe('x');
    expect(input('Name').closest('[inert]')).toBeNull();
    expect(screen.getByRole('button', { name: 'Cancel' })).toBeTruthy();
    await waitFor(() =>
      expect(document.activeElement?.textContent).toBe('Create')
    );
  });

  it('says at the field why it failed, and can be tried again', async () => {
    await begin();
    server.answers['GET tasks/t1'] = () => json(FAILED);
    events.tell(FAILED);
    await waitFor(() =>
      expect(document.activeElement).toBe(input('Python environment'))
    );
    expect(descriptionOf('Python environment')).toContain('The disk is full.');
    server.answers['GET tasks/t1'] = () => json(DONE);
    press('Create');
    expect(await result).toEqual(KERNEL);
  });

  it.each<[string, () => Response, RegExp]>([
    [
      'was interrupted',
      () => json({ ...TASK, state: 'interrupted' }),
      /The Jupyter server stopped/
    ],
    [
      'is forgotten',
      () => refuse(404, { field: '', message: 'No such task.' }),
      /does not know of this work any more/
    ]
  ])('says that it %s', async (_, answer, text) => {
    server.answers['GET tasks/t1'] = answer;
    await open({ args: { display_name: 'x' } });
    press('Create');
    await screen.findByText(text);
    expect(input('Name').closest('[inert]')).toBeNull();
  });

  it('says that the server is not reached, and goes on when it is', async () => {
    server.answers['GET tasks/t1'] = () => {
      throw new ServerConnection.NetworkError(new TypeError('Failed'));
    };
    await begin();
    await screen.findByText(/The server cannot be reached/);
    expect(screen.getByRole('progressbar')).toBeTruthy();
    server.answers['GET tasks/t1'] = () => json(DONE);
    events.tell(DONE);
    expect(await result).toEqual(KERNEL);
  });
});

it('offers the places, and says why one cannot be chosen', async () => {
  await open();
  const options = within(input('Available to')).getAllByRole<HTMLOptionElement>(
    'option'
  );
  expect(options.map(o => [o.textContent, o.disabled])).toEqual([
    ['Only you — /home/me/kernels', false],
    ['Everyone who uses /usr/share/kernels', true]
  ]);
  expect(screen.getByText(/is not writable for you/)).toBeTruthy();
});

describe('the check while somebody types', () => {
  const previews = () => server.sent('POST', 'preview');

  it('waits for the required fields', async () => {
    await open();
    type('Master', 'yarn');
    await new Promise(resolve => setTimeout(resolve, 500));
    expect(previews()).toEqual([]);
  });

  it('asks once for several changes, and shows the answer as text', async () => {
    await open();
    type('Name', 'x');
    type('Name', 'xy');
    await screen.findByText(/python/);
    expect(previews().map(({ body }) => body)).toEqual([
      expect.objectContaining({ display_name: 'xy' })
    ]);
    const region = document.querySelector('pre[role=region]') as HTMLElement;
    expect(JSON.parse(region.textContent ?? '')).toEqual(PREVIEW.kernel_json);
    expect(descriptionOfPreview()).toBe(
      'Directory: /home/me/kernels/derived-name'
    );
    expect(input('Kernel name').placeholder).toBe('derived-name');
  });

  it('says what is wrong with a field when it is left', async () => {
    server.answers['POST preview'] = () =>
      refuse(400, { field: 'master', message: 'No master.' });
    await open({ args: { display_name: 'x' } });
    type('Master', 'y');
    await waitFor(() => expect(previews().length).toBe(1));
    await new Promise(resolve => setTimeout(resolve, 50));
    expect(screen.queryByText('No master.')).toBeNull();
    fireEvent.focusOut(input('Master'));
    await screen.findByText('No master.');
    expect(input('Master').value).toBe('y');
  });

  it('says at once that something is taken', async () => {
    server.answers['POST preview'] = () =>
      refuse(409, { field: 'display_name', message: 'It is taken.' });
    await open();
    type('Name', 'x');
    await screen.findByText('It is taken.');
  });

  it('gives advice that is no error', async () => {
    const advice = [{ field: 'executor_memory', message: 'Better not.' }];
    server.answers['POST preview'] = () => json({ ...PREVIEW, advice });
    await open();
    type('Name', 'x');
    await screen.findByText('Hint: Better not.');
    expect(descriptionOf('Executor memory')).toContain('Better not.');
    expect(input('Executor memory').getAttribute('aria-invalid')).toBe('false');
  });

  it('drops an answer to what was typed over', async () => {
    const answers: (() => void)[] = [];
    server.answers['POST preview'] = ({ body }) =>
      new Promise(resolve => {
        const { display_name } = body as { display_name: string };
        answers.push(() =>
          resolve(json({ ...PREVIEW, directory: `/of/${display_name}` }))
        );
      });
    await open();
    type('Name', 'old');
    await waitFor(() => expect(answers.length).toBe(1));
    type('Name', 'new');
    await waitFor(() => expect(answers.length).toBe(2));
    answers[1]();
    await screen.findByText('Directory: /of/new');
    answers[0]();
    await new Promise(resolve => setTimeout(resolve, 50));
    expect(screen.queryByText('Directory: /of/old')).toBeNull();
  });
});

it('edits a kernel where it is', async () => {
  await open({ kernel: KERNEL });
  await screen.findByText('Edit PySpark Kernel');
  expect(input('Kernel name').readOnly).toBe(true);
  expect(input('Available to').disabled).toBe(true);
  expect(input('Spark settings').value).toBe('spark.a 1');
  type('Master', 'local[2]');
  await waitFor(() => expect(server.sent('POST', 'preview').length).toBe(1));
  expect(server.requests[server.requests.length - 1].path).toContain(
    'editing=true'
  );
  press('Save');
  expect(await result).toEqual(KERNEL);
  const [request] = server.sent('PUT', 'kernels/user/demo');
  expect(request.headers.get('If-Match')).toBe('"abc"');
  expect(request.body).toEqual({
    display_name: 'Demo',
    environment: '/envs/spark',
    master: 'local[2]',
    place: 'user',
    name: 'demo',
    carry: false,
    conf: { 'spark.a': '1' }
  });
});

it('tells the command that the server has no form', async () => {
  server.answers['GET form'] = () => json({ message: 'Not Found' }, 404);
  const api = new Api(ServerConnection.makeSettings());
  await expect(
    showKernelDialog({ api, events: events.manager, trans })
  ).rejects.toThrow('Not Found');
});
