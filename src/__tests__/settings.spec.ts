import { ServerConnection } from '@jupyterlab/services';
import { nullTranslator } from '@jupyterlab/translation';
import { PromiseDelegate } from '@lumino/coreutils';
import { fireEvent, screen, waitFor, within } from '@testing-library/dom';
import { Api, type Kernel, type Task } from '../api';
import { showComparison } from '../compare';
import { showKernelDialog } from '../dialog';
import { showEffective } from '../effective';
import { shownTasks, type TaskState } from '../tasks/shown';
import {
  closeDialogs,
  DONE,
  EFFECTIVE,
  Events,
  FAILED,
  json,
  KERNEL,
  refuse,
  Server,
  SETTINGS,
  TASK
} from './server';

const trans = nullTranslator.load('');

const READING: Task = { ...TASK, kind: 'settings' };

let server: Server;
let events: Events;
let result: Promise<unknown>;

beforeEach(() => {
  server = new Server();
  events = new Events();
});

afterEach(async () => {
  closeDialogs();
  await result;
  jest.restoreAllMocks();
});

function services() {
  const api = new Api(ServerConnection.makeSettings());
  return { api, events: events.manager, trans };
}

async function open(kernel?: Kernel): Promise<void> {
  result = showKernelDialog({ ...services(), kernel });
  await waitFor(() =>
    expect(document.activeElement).toBe(screen.getByLabelText(/^Name/))
  );
}

function area(): HTMLTextAreaElement {
  return screen.getByLabelText('Spark settings', { selector: 'textarea' });
}

function state(): string | null | undefined {
  return document.getElementById(`${area().id}-state`)?.textContent;
}

/** Type a text, the cursor at its end. */
function type(text: string): void {
  const node = area();
  node.focus();
  fireEvent.change(node, { target: { value: text } });
}

/**
 * Press a key, and let React draw.
 *
 * @returns whether the browser would do what it always does.
 */
async function press(key: string, options: object = {}): Promise<boolean> {
  const isFree = fireEvent.keyDown(area(), { key, ...options });
  await new Promise(resolve => setTimeout(resolve));
  return isFree;
}

function items(): Element[] {
  return Array.from(
    document.querySelectorAll('.jp-PySparkKernels-popup [role=option]')
  );
}

function options(): (string | null | undefined)[] {
  return items().map(
    item => item.querySelector('.jp-PySparkKernels-key')?.textContent
  );
}

/** The dialog with a title, once it is there. */
async function dialogOf(title: string): Promise<HTMLElement> {
  const found = (await screen.findByText(title)).closest('.jp-Dialog');
  expect(found?.getAttribute('aria-label')).toBe(title);
  return found as HTMLElement;
}

async function openRead(): Promise<void> {
  await open();
  area().focus();
  await waitFor(() => expect(state()).toContain('documents 4 settings'));
}

describe('the settings of the chosen Spark', () => {
  it('are read when the field gets the focus, once', async () => {
    const answer = new PromiseDelegate<Response>();
    server.answers['POST settings'] = () => answer.promise;
    await open();
    expect(server.sent('POST', 'settings')).toEqual([]);
    area().focus();
    await waitFor(() =>
      expect(state()).toBe('Reading the settings of Spark 4.3.0…')
    );
    answer.resolve(json(SETTINGS));
    await waitFor(() =>
      expect(state()).toBe(
        'Spark 4.3.0 documents 4 settings: type a part of a key.'
      )
    );
    expect(server.sent('POST', 'settings').map(({ body }) => body)).toEqual([
      { environment: '/envs/spark' }
    ]);
    type('spark.x');
    area().blur();
    area().focus();
    expect(server.sent('POST', 'settings')).toHaveLength(1);
  });

  it('are read anew of another Spark', async () => {
    await open({
      ...KERNEL,
      config: {
        ...KERNEL.config!,
        spark_home: '/opt/spark',
        env: { JAVA_HOME: '/java', A: 'b' }
      }
    });
    area().focus();
    await waitFor(() => expect(state()).toContain('documents'));
    fireEvent.change(screen.getByLabelText(/^Python environment/), {
      target: { value: '/envs/plain' }
    });
    area().focus();
    type('spark.y');
    await waitFor(() =>
      expect(server.sent('POST', 'settings')).toHaveLength(2)
    );
    expect(server.sent('POST', 'settings')[1].body).toMatchObject({
      environment: '/envs/plain',
      env: { JAVA_HOME: '/java' }
    });
    await waitFor(() => expect(state()).toContain('documents'));
  });

  it('are waited for while somebody types, and checked then', async () => {
    const released: TaskState[] = [];
    shownTasks.onChanged = task => task && released.push(task);
    server.answers['POST settings'] = () => json(READING, 202);
    await open();
    type('spark.executor.memoryO');
    await waitFor(() =>
      expect(server.sent('GET', 'tasks/t1').length).toBeGreaterThan(0)
    );
    expect(area().value).toBe('spark.executor.memoryO');
    expect(options()).toEqual([]);
    server.answers['POST settings'] = () => json(SETTINGS);
    server.answers['GET tasks/t1'] = () => json({ ...DONE, kind: 'settings' });
    const done: Task = { ...READING, state: 'done' };
    events.tell(done);
    await waitFor(() =>
      expect(options()).toEqual(['spark.executor.memoryOverhead'])
    );
    // It has ended when it is let go of, so nothing is shown of it.
    expect(released.map(task => task.state)).toEqual(['done']);
    shownTasks.onChanged = () => undefined;
  });

  it('are done without when they cannot be read', async () => {
    server.answers['POST settings'] = () =>
      refuse(403, { field: 'environment', message: 'It is not yours.' });
    await open();
    area().focus();
    await waitFor(() => expect(state()).toBe('It is not yours.'));
    server.answers['POST settings'] = () => json(READING, 202);
    server.answers['GET tasks/t1'] = () => json(FAILED);
    // The next time it is tried again.
    area().blur();
    area().focus();
    await waitFor(() => expect(state()).toContain('Reading'));
    events.tell({ ...FAILED });
    await waitFor(() => expect(state()).toBe('The disk is full.'));
  });
});

describe('the list', () => {
  it('has type, default and help, and puts a key into the text', async () => {
    await openRead();
    type('spark.executor.memory');
    await waitFor(() =>
      expect(options()).toEqual([
        'spark.executor.memory',
        'spark.executor.memoryOverhead'
      ])
    );
    const list = screen.getByRole('listbox', { name: 'Spark settings' });
    expect(area().getAttribute('aria-controls')).toBe(list.id);
    expect(area().dataset.ownKeys).toBe('true');
    expect(screen.getByRole('note').textContent).toBe(
      'Amount of memory to use per executor.' +
        'Default: 1g. A number alone is in MiB. Since Spark 0.7.0.'
    );
    await press('ArrowDown');
    const active = area().getAttribute('aria-activedescendant');
    expect(document.getElementById(active!)?.textContent).toBe(
      'spark.executor.memoryOverheadmemory'
    );
    // What Spark says is text, whatever stands in it.
    expect(screen.getByRole('note').textContent).toContain(
      'The amount of <i>non-heap</i> memory.No default.'
    );
    await press('ArrowDown');
    await press('ArrowUp');
    expect(await press('Enter')).toBe(false);
    await waitFor(() =>
      expect(area().value).toBe('spark.executor.memoryOverhead ')
    );
    expect(area().selectionStart).toBe(area().value.length);
    expect(options()).toEqual([]);
    // Without a list the keys do what they always do.
    expect(await press('Enter')).toBe(true);
    expect(await press('Tab')).toBe(true);
  });

  it('offers values, and Tab takes one', async () => {
    await openRead();
    type('compress');
    await waitFor(() => expect(options()).toHaveLength(1));
    await press('Tab');
    await waitFor(() => expect(options()).toEqual(['true', 'false']));
    expect(area().value).toBe('spark.shuffle.compress ');
    await press('ArrowUp');
    await press('Tab');
    await waitFor(() =>
      expect(area().value).toBe('spark.shuffle.compress false')
    );
    expect(options()).toEqual([]);
  });

  it('is closed by Escape, and the dialog is not', async () => {
    await openRead();
    type('memory');
    await waitFor(() => expect(options()).toHaveLength(2));
    await press('Escape');
    expect(options()).toEqual([]);
    expect(area().value).toBe('memory');
    expect(document.querySelector('.jp-Dialog')).not.toBeNull();
    await press(' ', { ctrlKey: true });
    expect(options()).toHaveLength(2);
    area().blur();
    await waitFor(() => expect(options()).toEqual([]));
  });

  it('takes a click', async () => {
    await openRead();
    type('memory');
    await waitFor(() => expect(options()).toHaveLength(2));
    fireEvent.click(items()[1]);
    await waitFor(() =>
      expect(area().value).toBe('spark.executor.memoryOverhead ')
    );
  });
});

describe('the effective configuration', () => {
  it('is loaded when its section is opened, and follows the form', async () => {
    await open(KERNEL);
    const section = screen
      .getByText('Effective configuration')
      .closest('details') as HTMLDetailsElement;
    expect(server.sent('POST', 'effective')).toEqual([]);
    section.open = true;
    fireEvent(section, new Event('toggle'));
    const instead = await within(section).findByText(
      'instead of 3g (/opt/spark/conf/spark-defaults.conf)'
    );
    expect(instead.closest('tr')?.textContent).toContain(
      'spark.executor.memory2g'
    );
    expect(section.textContent).toContain('spark-env.sh may set more.');
    const before = server.sent('POST', 'effective').length;
    fireEvent.change(screen.getByLabelText(/^Executor memory/), {
      target: { value: '3g' }
    });
    await waitFor(() =>
      expect(server.sent('POST', 'effective').length).toBeGreaterThan(before)
    );
    const { body } = server.sent('POST', 'effective').slice(-1)[0];
    expect(body).toMatchObject({ executor_memory: '3g', display_name: 'Demo' });
  });

  it('can be searched, and shows all defaults when asked', async () => {
    result = showEffective(services(), KERNEL.config!);
    const dialog = await dialogOf('Effective Configuration of “Demo”');
    await within(dialog).findByText('2g');
    expect(within(dialog).getAllByRole('row')).toHaveLength(3);
    fireEvent.change(within(dialog).getByRole('searchbox'), {
      target: { value: 'MEMORY' }
    });
    expect(within(dialog).getAllByRole('row')).toHaveLength(2);
    fireEvent.click(within(dialog).getByRole('checkbox'));
    await waitFor(() =>
      expect(server.sent('POST', 'effective').slice(-1)[0].path).toBe(
        'effective?all=true'
      )
    );
  });

  it('says what is wrong', async () => {
    await open(KERNEL);
    server.answers['POST effective'] = () =>
      refuse(422, { field: 'environment', message: 'It is gone.' });
    const section = screen
      .getByText('Effective configuration')
      .closest('details') as HTMLDetailsElement;
    section.open = true;
    fireEvent(section, new Event('toggle'));
    expect((await within(section).findByRole('alert')).textContent).toBe(
      'It is gone.'
    );
    server.answers['POST effective'] = () =>
      json({ ...EFFECTIVE, spark_version: null });
  });
});

describe('two kernels', () => {
  it('are shown side by side', async () => {
    const left = { place: 'user', name: 'a', display_name: 'A' };
    const right = { place: 'user', name: 'b', display_name: 'B' };
    result = showComparison(services(), left, right);
    const dialog = await dialogOf('Compare PySpark Kernels');
    await within(dialog).findByText('2g');
    expect(server.sent('POST', 'compare')[0].body).toEqual({
      left: { place: 'user', name: 'a' },
      right: { place: 'user', name: 'b' }
    });
    const rows = () =>
      within(dialog)
        .getAllByRole('row')
        .map(row => Array.from(row.children, cell => cell.textContent));
    expect(rows()).toEqual([
      ['Field', 'A', 'B'],
      ['Executor memory', '2g', 'not set'],
      ['spark.a', '1', '2']
    ]);
    fireEvent.click(within(dialog).getByRole('checkbox'));
    expect(rows()[1]).toEqual(['Master', 'yarn', 'yarn']);
  });
});
