import type { JupyterFrontEnd } from '@jupyterlab/application';
import { Notification } from '@jupyterlab/apputils';
import { ServerConnection } from '@jupyterlab/services';
import { nullTranslator } from '@jupyterlab/translation';
import { fireEvent, screen, waitFor, within } from '@testing-library/dom';
import { CommandRegistry } from '@lumino/commands';
import type { Task } from '../api';
import { TaskCommandIDs, tasksPlugin } from '../tasks/plugin';
import { shownTasks } from '../tasks/shown';
import { bytesText, fractionOf, progressText } from '../tasks/texts';
import {
  ARCHIVES,
  closeDialogs,
  CRASH,
  DONE,
  Events,
  FAILED,
  json,
  refuse,
  Server,
  TASK,
  TESTED
} from './server';

const trans = nullTranslator.load('');
const openNotebook = jest.fn();

const PACKING: Task = {
  ...TASK,
  stage: 'Packing',
  bytes_done: 350 * 1024 ** 2,
  bytes_total: 700 * 1024 ** 2
};

let server: Server;
let events: Events;
let commands: CommandRegistry;

// The first import of the dialogs translates much of JupyterLab.
beforeAll(
  () => Promise.all([import('../tasks/dialog'), import('../archives')]),
  60_000
);

beforeEach(() => {
  server = new Server();
  events = new Events();
  commands = new CommandRegistry();
  commands.addCommand('notebook:create-new', { execute: openNotebook });
  openNotebook.mockClear();
  const app = {
    commands,
    serviceManager: {
      serverSettings: ServerConnection.makeSettings(),
      events: events.manager
    }
  };
  void tasksPlugin.activate(app as unknown as JupyterFrontEnd, null, null);
});

afterEach(async () => {
  closeDialogs();
  await settled();
  Notification.dismiss();
  jest.restoreAllMocks();
});

/** Wait until everything that was heard has been dealt with. */
function settled(): Promise<void> {
  return new Promise(resolve => setTimeout(resolve, 50));
}

function notes(): readonly Notification.INotification[] {
  return Notification.manager.notifications;
}

async function theNote(
  type: Notification.TypeOptions
): Promise<Notification.INotification> {
  await waitFor(() => expect(notes().map(note => note.type)).toEqual([type]));
  return notes()[0];
}

/** Press a button of a notification. */
function act(note: Notification.INotification, label: string): void {
  const action = note.options.actions?.find(action => action.label === label);
  expect(note.options.actions?.map(({ label }) => label)).toContain(label);
  action?.callback(new MouseEvent('click', { cancelable: true }));
}

describe('the words for progress', () => {
  it.each<[Partial<Task>, string, number | null]>([
    [{}, 'Waiting', null],
    [{ bytes_total: 0 }, 'Waiting — 0 of 0 B', null],
    [{ bytes_done: 2048 }, 'Waiting — 2 KiB', null],
    [{ files_done: 1200 }, 'Waiting — 1,200 files', null],
    [{ files_done: 5, files_total: 20 }, 'Waiting — 5 of 20 files', 0.25],
    [
      { bytes_done: 2 ** 29, bytes_total: 2 ** 30 },
      'Waiting — 0.5 of 1 GiB',
      0.5
    ],
    [{ bytes_done: 3, bytes_total: 2 }, 'Waiting — 3 of 2 B', 1]
  ])('of %p are %p', (changes, text, fraction) => {
    const task = { ...TASK, ...changes };
    expect(progressText(task, trans)).toBe(text);
    expect(fractionOf(task)).toBe(fraction);
  });

  it('have amounts as people read them', () => {
    expect([0, 1023, 1024, 1536, 20.4 * 1024 ** 2].map(bytesText)).toEqual([
      '0 B',
      '1,023 B',
      '1 KiB',
      '1.5 KiB',
      '20 MiB'
    ]);
  });
});

describe('the notification of a task', () => {
  it('appears with the first event, and asks the server for nothing', async () => {
    await settled();
    expect(server.requests).toEqual([]);
    events.tell(PACKING);
    const { message, options } = await theNote('in-progress');
    expect(message).toBe('Creating “Demo”: Packing — 350 of 700 MiB');
    expect(options).toMatchObject({ autoClose: false, progress: 0.5 });
    events.tell({ ...PACKING, bytes_done: PACKING.bytes_total! });
    await waitFor(() => expect(notes()[0].options.progress).toBe(1));
    expect(notes().length).toBe(1);
    expect(server.requests).toEqual([]);
  });

  it('becomes that of the new kernel', async () => {
    server.answers['GET tasks/t1'] = () => json(DONE);
    events.tell(PACKING);
    await theNote('in-progress');
    events.tell(DONE);
    const note = await theNote('success');
    expect(note.message).toBe('The kernel “Demo” was created.');
    act(note, 'Open a Notebook');
    expect(openNotebook).toHaveBeenCalledWith({ kernelName: 'demo' });
  });

  it('becomes that of the changed kernel', async () => {
    server.answers['GET tasks/t1'] = () => json({ ...DONE, kind: 'edit' });
    events.tell(DONE);
    expect((await theNote('success')).message).toContain('“Demo” was changed.');
  });

  it('says that an environment is ready', async () => {
    const title = 'Installing ipykernel into /e';
    const ready: Task = { ...DONE, kind: 'ready', kernel: null, title };
    server.answers['GET tasks/t1'] = () => json(ready);
    events.tell(ready);
    expect((await theNote('success')).message).toBe(
      `${title}: The environment can be used now.`
    );
  });

  it('says why it failed, and tries again', async () => {
    server.answers['GET tasks/t1'] = () => json(FAILED);
    events.tell(PACKING);
    await theNote('in-progress');
    events.tell(FAILED);
    const note = await theNote('error');
    expect(note.message).toBe('Creating “Demo”: The disk is full.');
    expect(note.options.autoClose).toBe(false);
    Notification.dismiss();
    act(note, 'Try again');
    expect((await theNote('in-progress')).message).toBe(
      'Creating “Demo”: Waiting'
    );
  });

  it.each<Task['state']>(['cancelled', 'interrupted'])(
    'warns that it was %s',
    async state => {
      const task = { ...TASK, state };
      server.answers['GET tasks/t1'] = () => json(task);
      events.tell(task);
      expect((await theNote('warning')).message).toContain(state);
    }
  );

  it('tells the end although the rest is not known', async () => {
    jest.spyOn(console, 'warn').mockImplementation();
    server.answers['GET tasks/t1'] = () => refuse(404);
    events.tell(DONE);
    expect((await theNote('success')).message).toContain('It has ended.');
  });

  it('stays until the task is cancelled', async () => {
    events.tell(PACKING);
    act(await theNote('in-progress'), 'Cancel');
    await waitFor(() =>
      expect(server.sent('DELETE', 'tasks/t1').length).toBe(1)
    );
    await theNote('in-progress');
  });

  it('says why it cannot be cancelled', async () => {
    server.answers['DELETE tasks/t1'] = () =>
      refuse(403, { field: '', message: 'Another server works on it.' });
    events.tell(PACKING);
    act(await theNote('in-progress'), 'Cancel');
    await waitFor(() =>
      expect(notes()[0].message).toBe('Another server works on it.')
    );
  });

  it('does not come back before the end once it was dismissed', async () => {
    events.tell(PACKING);
    await theNote('in-progress');
    Notification.dismiss();
    events.tell(PACKING);
    await settled();
    expect(notes()).toEqual([]);
    server.answers['GET tasks/t1'] = () => json(FAILED);
    events.tell(FAILED);
    await theNote('error');
  });

  it('gives way to a dialog, and comes back when that is closed', async () => {
    events.tell(PACKING);
    await theNote('in-progress');
    shownTasks.show('t1');
    await waitFor(() => expect(notes()).toEqual([]));
    events.tell({ ...PACKING, stage: 'Checking' });
    await settled();
    expect(notes()).toEqual([]);
    shownTasks.release(PACKING);
    expect((await theNote('in-progress')).message).toContain('Checking');
  });

  it('does not repeat what a dialog has told', async () => {
    shownTasks.show('t1');
    events.tell(PACKING);
    shownTasks.release(DONE);
    events.tell(DONE);
    await settled();
    expect(notes()).toEqual([]);
    expect(server.requests).toEqual([]);
  });

  it('waits for the answer that tells whose task it is', async () => {
    let answer: () => void = () => undefined;
    const asked = shownTasks.during(
      () => new Promise<void>(resolve => (answer = resolve))
    );
    events.tell(TASK);
    await settled();
    expect(notes()).toEqual([]);
    answer();
    await asked;
    await theNote('in-progress');
  });
});

describe('the dialog of tasks', () => {
  it('says that there are none', async () => {
    const done = commands.execute(TaskCommandIDs.showTasks);
    await screen.findByText(/Nothing is being done/);
    fireEvent.click(screen.getByRole('button', { name: 'Close' }));
    await done;
  });

  it('lists them, follows them, and adds those that begin', async () => {
    const interrupted: Task = {
      ...TASK,
      id: 't2',
      title: 'Changing “Old”',
      state: 'interrupted'
    };
    server.answers['GET tasks'] = () => json([interrupted]);
    server.answers['POST tasks/t2/resume'] = () =>
      json({ ...interrupted, state: 'running' }, 202);
    server.answers['GET tasks/t2'] = () =>
      json({ ...interrupted, state: 'running' });
    void commands.execute(TaskCommandIDs.showTasks);
    await screen.findByText('Changing “Old”');
    fireEvent.click(screen.getByText('Resume'));
    await screen.findByRole('progressbar');
    events.tell(TASK);
    await screen.findByText('Creating “Demo”');
    const titles = screen
      .getAllByRole('progressbar')
      .map(bar => bar.getAttribute('aria-label'));
    expect(titles).toEqual(['Creating “Demo”', 'Changing “Old”']);
    server.answers['GET tasks/t1'] = () => json(DONE);
    events.tell(DONE);
    await screen.findByText('The kernel was created.');
    await settled();
    expect(notes()).toEqual([]);
  });

  it('shows the log of one, and nothing else', async () => {
    server.answers['GET tasks/t1'] = () => json(DONE);
    const shown = commands.execute(TaskCommandIDs.showTasks, { id: 't1' });
    const log = await screen.findByRole('region', { name: /^Log/ });
    expect(log.textContent).toBe('Packing\nDone');
    expect(log.closest('details')?.open).toBe(true);
    events.tell({ ...TASK, id: 't3' });
    await settled();
    expect(server.sent('GET', 'tasks/t3')).toEqual([]);
    closeDialogs();
    await shown;
  });

  it('explains that one is not there', async () => {
    jest.spyOn(console, 'warn').mockImplementation();
    server.answers['GET tasks/t1'] = () =>
      refuse(404, { field: '', message: 'There is no task “t1”.' });
    void commands.execute(TaskCommandIDs.showTasks, { id: 't1' });
    await screen.findByText('There is no task “t1”.');
  });
});

it('packs the environment of a kernel again, which a notification shows', async () => {
  expect(commands.isEnabled(TaskCommandIDs.repack)).toBe(false);
  const address = { place: 'user', name: 'demo' };
  expect(await commands.execute(TaskCommandIDs.repack, address)).toEqual(TASK);
  await theNote('in-progress');
});

describe('the dialog of packed environments', () => {
  async function open(): Promise<void> {
    void commands.execute(TaskCommandIDs.archives);
    await screen.findByText('Packed PySpark Environments');
  }

  it('says that nothing is packed', async () => {
    server.answers['GET archives'] = () => json([]);
    await open();
    await screen.findByText(/Nothing is packed/);
    expect(screen.queryByText(/Remove Unused/)).toBeNull();
  });

  it('tells sizes, users and changes, and removes what is unused', async () => {
    await open();
    const cells = (await screen.findAllByRole('row')).slice(1).map(row =>
      within(row)
        .getAllByRole('cell')
        .slice(1)
        .map(({ firstChild }) => firstChild?.textContent)
    );
    expect(cells).toEqual([
      ['300 MiB', 'demo', 'pandas was 2.0 and is 2.1.'],
      ['1.5 GiB', 'no kernel', 'nothing']
    ]);
    server.answers['GET archives'] = () => json(ARCHIVES.slice(0, 1));
    fireEvent.click(screen.getByText('Remove Unused (1.5 GiB)'));
    await screen.findByText(
      '1 packed environment was removed, which frees 1.5 GiB.'
    );
    expect(screen.getAllByRole('row').length).toBe(2);
    expect(screen.queryByText(/Remove Unused/)).toBeNull();
  });

  it('packs again, shows how far that is, and lists anew', async () => {
    await open();
    fireEvent.click(await screen.findByText('Pack Again for demo'));
    await screen.findByRole('progressbar');
    server.answers['GET archives'] = () =>
      json([{ ...ARCHIVES[0], drift: null }]);
    const done: Task = { ...DONE, kind: 'edit' };
    server.answers['GET tasks/t1'] = () => json(done);
    events.tell(done);
    await screen.findByText(/The kernel was changed/);
    await waitFor(() =>
      expect(screen.queryByText('Pack Again for demo')).toBeNull()
    );
  });

  it('keeps what only undo needs', async () => {
    const kept = { ...ARCHIVES[0], used_by: [], kept_for_undo: true };
    server.answers['GET archives'] = () => json([kept]);
    await open();
    await screen.findByText('only undo');
    expect(screen.queryByText(/Pack Again/)).toBeNull();
    expect(screen.queryByText(/Remove Unused/)).toBeNull();
  });

  it('says why nothing was packed', async () => {
    server.answers['POST kernels/user/demo/repack'] = () =>
      refuse(404, { field: 'name', message: 'There is no such kernel.' });
    await open();
    fireEvent.click(await screen.findByText('Pack Again for demo'));
    await screen.findByText('There is no such kernel.');
  });
});

describe('a test that nobody watched', () => {
  it('is told of when it passed', async () => {
    server.answers['GET tasks/t1'] = () => json(TESTED);
    events.tell(TESTED);
    expect((await theNote('success')).message).toBe(
      `Testing “x”: The test passed. ${TESTED.flight?.verdict}`
    );
  });

  it('is an error when it failed, though the work was done', async () => {
    server.answers['GET tasks/t1'] = () => json({ ...TESTED, flight: CRASH });
    events.tell(TESTED);
    expect((await theNote('error')).message).toBe(
      `Testing “x”: The test failed. ${CRASH.verdict}`
    );
  });
});
