import { ServerConnection } from '@jupyterlab/services';
import { nullTranslator } from '@jupyterlab/translation';
import { fireEvent, screen, waitFor, within } from '@testing-library/dom';
import { Api, type Environment, type Kernel } from '../api';
import { type IKernelDialogOptions, showKernelDialog } from '../dialog';
import {
  closeDialogs,
  ENVIRONMENTS,
  json,
  KERNEL,
  PREVIEW,
  refuse,
  Server
} from './server';

const trans = nullTranslator.load('');

let server: Server;
let result: Promise<Kernel | null>;

beforeEach(() => {
  server = new Server();
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
  result = showKernelDialog({ api, trans, ...options });
  await screen.findByLabelText(/^Name/);
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
    await waitFor(() => expect(document.activeElement).toBe(input('Name')));
    expect(descriptionOf('Name')).toContain('“x” exists already.');
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

describe('the environments', () => {
  it('begin with the first usable one that has PySpark', async () => {
    await open();
    expect(input('Python environment').value).toBe('/envs/spark');
    expect(
      screen
        .getAllByRole<HTMLOptionElement>('option')
        .filter(({ parentElement }) =>
          parentElement?.id.endsWith('environment')
        )
        .map(({ textContent, disabled }) => [textContent, disabled])
    ).toEqual([
      ['/envs/plain — Python 3.10.2, no PySpark', false],
      ['/envs/spark — Python 3.11.7, PySpark 4.3.0', false],
      ['/envs/broken — Python 3.9.1, PySpark 4.3.0 (cannot be used)', true],
      ['Another path…', false]
    ]);
    expect(screen.getByText(/It has no ipykernel/)).toBeTruthy();
  });

  it.each<[string, Environment[], string]>([
    ['the first usable one', ENVIRONMENTS.slice(0, 2), '/envs/plain'],
    ['the path to be typed', ENVIRONMENTS.slice(0, 1), 'other']
  ])('else begin with %s', async (_, environments, value) => {
    server.answers['GET environments'] = () => json(environments);
    await open();
    expect(input('Python environment').value).toBe(value);
  });

  it('can be given by a path', async () => {
    await open();
    type('Name', 'x');
    type('Python environment', 'other');
    const path = await screen.findByLabelText('Path of the environment');
    press('Create');
    await waitFor(() => expect(document.activeElement).toBe(path));
    expect(server.sent('POST', 'kernels')).toEqual([]);
    fireEvent.change(path, { target: { value: '/my/env' } });
    press('Create');
    await result;
    expect(server.sent('POST', 'kernels')[0].body).toMatchObject({
      environment: '/my/env'
    });
  });

  it('show a path that was not found as one that was typed', async () => {
    await open({ settings: { environment: '/my/env' } });
    const path = screen.getByLabelText<HTMLInputElement>(
      'Path of the environment'
    );
    expect(path.value).toBe('/my/env');
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
    conf: { 'spark.a': '1' }
  });
});

it('tells the command that the server has no form', async () => {
  server.answers['GET form'] = () => json({ message: 'Not Found' }, 404);
  const api = new Api(ServerConnection.makeSettings());
  await expect(showKernelDialog({ api, trans })).rejects.toThrow('Not Found');
});
