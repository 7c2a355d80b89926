import { Clipboard } from '@jupyterlab/apputils';
import { ServerConnection } from '@jupyterlab/services';
import { nullTranslator } from '@jupyterlab/translation';
import { fireEvent, screen, waitFor, within } from '@testing-library/dom';
import { Api, type Kernel, type Task } from '../api';
import { showKernelDialog } from '../dialog';
import { shownTasks, type TaskState } from '../tasks/shown';
import {
  closeDialogs,
  CRASH,
  Events,
  FAILED,
  json,
  refuse,
  Server,
  TESTED,
  TESTING
} from './server';

const trans = nullTranslator.load('');

let server: Server;
let events: Events;
let result: Promise<Kernel | null>;
let released: TaskState[];

beforeEach(() => {
  server = new Server();
  events = new Events();
  released = [];
  shownTasks.onChanged = task => task && released.push(task);
});

afterEach(async () => {
  closeDialogs();
  await result;
  shownTasks.onChanged = () => undefined;
  jest.restoreAllMocks();
});

async function open(args = { display_name: 'x' }): Promise<void> {
  const api = new Api(ServerConnection.makeSettings());
  result = showKernelDialog({ api, events: events.manager, trans, args });
  await screen.findByLabelText(/^Name/);
}

function press(button: string): void {
  fireEvent.click(screen.getByRole('button', { name: button }));
}

function panel(): HTMLElement {
  return screen.getByRole('region', { name: 'Test' });
}

function type(label: string, value: string): void {
  fireEvent.change(screen.getByLabelText(label), { target: { value } });
}

/** Test a draft to an end. */
async function fly(end: Task): Promise<void> {
  await open();
  press('Test');
  await screen.findByRole('progressbar');
  server.answers['GET tasks/t1'] = () => json(end);
  events.tell(end);
}

it('shows both sides, what differs, and how long each stage took', async () => {
  await fly(TESTED);
  await screen.findByText('Test passed.');
  expect(server.sent('POST', 'test')[0].body).toMatchObject({
    display_name: 'x',
    environment: '/envs/spark',
    master: 'local[*]'
  });
  const row = (name: RegExp): (string | null)[] =>
    Array.from(
      within(panel()).getByRole('row', { name }).children,
      cell => cell.textContent
    );
  expect(row(/^Driver/)).toEqual([
    'Driverhere',
    '3.11.7',
    '17.0.15',
    '4.3.0',
    '2.2.3',
    'none',
    ''
  ]);
  expect(row(/^Executor 1/)).toEqual([
    'Executor 1node-1',
    '3.11.7',
    '17.0.15',
    '4.3.0',
    'none(another than the driver’s)',
    'none',
    '12 ms'
  ]);
  expect(row(/^Starting Spark/)).toEqual(['Starting Spark', '3.2 s']);
  expect(row(/^Ending/)).toEqual(['Ending the kernel', '400 ms']);
  expect(panel().querySelector('time')?.dateTime).toBe('2026-01-01T10:01:00Z');
  expect(panel().textContent).toContain('what it printed');
  expect(released).toEqual([TESTED]);
});

it('says why it failed, and leads to the field to change', async () => {
  await fly({ ...TESTED, flight: CRASH });
  await screen.findByText('Test failed.');
  const text = panel().textContent ?? '';
  const { cause, fix, evidence } = CRASH.diagnoses[0];
  // The verdict is the cause, which is said once.
  expect(text.split(cause).length).toBe(2);
  expect(text).toContain(fix);
  expect(text).toContain(evidence);
  press('Go to “Master”');
  expect(document.activeElement).toBe(screen.getByLabelText('Master'));
});

it('offers to copy what is to be run', async () => {
  const command = '/envs/spark/bin/python -m pip install ipykernel';
  const diagnosis = { ...CRASH.diagnoses[0], command, remedy: null };
  const copy = jest.spyOn(Clipboard, 'copyToSystem').mockImplementation();
  await fly({ ...TESTED, flight: { ...CRASH, diagnoses: [diagnosis] } });
  await screen.findByText(command);
  press(`Copy: ${command}`);
  await screen.findByText('Copied.');
  expect(copy).toHaveBeenCalledWith(command);
  expect(screen.queryByText(/^Go to/)).toBeNull();
});

it('is of other values as long as others stand in the form', async () => {
  const mark = /This is of other values/;
  await fly(TESTED);
  await screen.findByText('Test passed.');
  expect(screen.queryByText(mark)).toBeNull();
  type('Master', 'yarn');
  await screen.findByText(mark);
  type('Master', 'local[*]');
  await waitFor(() => expect(screen.queryByText(mark)).toBeNull());
  // A name makes no difference.
  fireEvent.change(screen.getByLabelText(/^Name/), { target: { value: 'y' } });
  expect(screen.queryByText(mark)).toBeNull();
  press('Hide');
  await waitFor(() =>
    expect(screen.queryByRole('region', { name: 'Test' })).toBeNull()
  );
});

it('says at the fields what is wrong with a draft', async () => {
  server.answers['POST test'] = () =>
    refuse(400, { field: 'environment', message: 'It is gone.' });
  await open();
  press('Test');
  await screen.findByText('It is gone.');
  await waitFor(() =>
    expect(document.activeElement).toBe(
      screen.getByLabelText(/^Python environment/)
    )
  );
  expect(shownTasks.has('t1')).toBe(false);
});

it('sends nothing that lacks what every kernel needs', async () => {
  await open({ display_name: '' });
  press('Test');
  await screen.findByText('Name is missing. Fill it in.');
  expect(server.sent('POST', 'test')).toEqual([]);
});

it('says at the field why it came to nothing', async () => {
  await fly({ ...FAILED, kind: 'test' });
  await screen.findByText('The disk is full.');
  expect(screen.queryByRole('region', { name: 'Test' })).toBeNull();
});

it('is one at a time, however often the button is pressed', async () => {
  await open();
  press('Test');
  press('Test');
  await screen.findByRole('progressbar');
  press('Test');
  expect(
    screen.getByRole('button', { name: 'Test' }).getAttribute('aria-disabled')
  ).toBe('true');
  expect(server.sent('POST', 'test').length).toBe(1);
});

it('is cancelled by its button, and leaves nothing', async () => {
  await open();
  press('Test');
  await screen.findByRole('progressbar');
  const cancelled: Task = { ...TESTING, state: 'cancelled' };
  server.answers['GET tasks/t1'] = () => json(cancelled);
  press('Cancel: Testing “x”');
  await waitFor(() =>
    expect(screen.queryByRole('region', { name: 'Test' })).toBeNull()
  );
  expect(server.sent('DELETE', 'tasks/t1').length).toBe(1);
});

it('is cancelled when the dialog is closed, and no notification tells of it', async () => {
  await open();
  press('Test');
  await screen.findByRole('progressbar');
  const cancelled: Task = { ...TESTING, state: 'cancelled' };
  server.answers['DELETE tasks/t1'] = () => {
    server.answers['GET tasks/t1'] = () => json(cancelled);
    return new Response(null, { status: 204 });
  };
  press('Cancel');
  expect(await result).toBeNull();
  await waitFor(() => expect(released).toEqual([cancelled]));
  expect(server.sent('DELETE', 'tasks/t1').length).toBe(1);
});

it('is cancelled also when the dialog is closed before the answer', async () => {
  let answer: () => void = () => undefined;
  server.answers['POST test'] = () =>
    new Promise(resolve => {
      answer = () => resolve(json(TESTING, 202));
    });
  server.answers['GET tasks/t1'] = () =>
    json({ ...TESTING, state: 'cancelled' });
  await open();
  press('Test');
  await waitFor(() => expect(server.sent('POST', 'test').length).toBe(1));
  press('Cancel');
  answer();
  expect(await result).toBeNull();
  await waitFor(() =>
    expect(released.map(({ state }) => state)).toEqual(['cancelled'])
  );
  expect(server.sent('DELETE', 'tasks/t1').length).toBe(1);
});
