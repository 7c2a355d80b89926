import type { JupyterFrontEnd } from '@jupyterlab/application';
import { Notification } from '@jupyterlab/apputils';
import { ServerConnection } from '@jupyterlab/services';
import { nullTranslator } from '@jupyterlab/translation';
import { CommandRegistry } from '@lumino/commands';
import { Signal } from '@lumino/signaling';
import { Widget } from '@lumino/widgets';
import { fireEvent, screen, waitFor, within } from '@testing-library/dom';
import rulebook from '../../server/jupyterlab_pyspark_kernels/kernel/rules.json';
import type { Diagnosis, Flight, Kernel, Task } from '../api';
import { createPanel, showDoctor } from '../manager';
import { managerPlugin } from '../manager/plugin';
import { marksOf, matching, shortPath, sorted } from '../manager/rows';
import { KERNEL_EVENT } from '../refresh';
import { remedyButton } from '../remedies';
import {
  closeDialogs,
  Events,
  FORM,
  json,
  KERNEL,
  refuse,
  Server,
  TASK
} from './server';

const trans = nullTranslator.load('');
const edit = jest.fn();
const create = jest.fn();

const OTHER: Kernel = {
  ...KERNEL,
  name: 'other',
  display_name: 'Other 10',
  place: 'usr-share',
  owner: 'root',
  writable: false,
  broken: 'There is no Python in /envs/gone.',
  last_used: '2026-01-01T10:00:00+00:00',
  config: { ...KERNEL.config!, environment: '/envs/gone/.venv', name: 'other' }
};

const THIRD: Kernel = {
  ...KERNEL,
  name: 'third',
  display_name: 'other 9',
  last_test: {
    passed: false,
    verdict: 'Nobody listens.',
    when: '2026-01-01T10:00:00Z',
    outdated: true
  }
};

const FLIGHT: Flight = {
  passed: true,
  verdict: 'It flies.',
  diagnoses: [],
  stages: [{ name: 'kernel', seconds: 1.5 }],
  driver: null,
  executors: [],
  when: '2026-01-01T10:01:00Z'
};

let server: Server;
let events: Events;
/** The sessions of kernels that run. */
let running: { name: string; kernel: { id: string; name: string } }[];
let app: JupyterFrontEnd;
let panel: Widget;

function names(list: readonly Kernel[]): string[] {
  return list.map(({ name }) => name);
}

function row(name: string | RegExp): HTMLElement {
  return screen.getByRole('row', { name });
}

function notes(): readonly Notification.INotification[] {
  return Notification.manager.notifications;
}

/** Open the panel, with some kernels. */
async function open(...kernels: Kernel[]): Promise<void> {
  server.answers['GET kernels'] = () => json(kernels);
  panel = createPanel(app, trans);
  Widget.attach(panel, document.body);
  await screen.findByText(/^\d+ kernels?$/);
}

async function menuOf(name: string): Promise<HTMLElement> {
  fireEvent.click(
    screen.getByRole('button', { name: `More actions for ${name}` })
  );
  return screen.findByRole('menu');
}

async function choose(name: string, label: string): Promise<void> {
  const menu = await menuOf(name);
  fireEvent.click(within(menu).getByText(label, { selector: 'span' }));
}

beforeEach(() => {
  server = new Server();
  events = new Events();
  running = [];
  const commands = new CommandRegistry();
  commands.addCommand('pyspark-kernels:edit', { execute: edit });
  commands.addCommand('pyspark-kernels:create', { execute: create });
  edit.mockReset().mockResolvedValue(null);
  create.mockReset().mockResolvedValue(null);
  app = {
    commands,
    shell: {
      add: (widget: Widget) => Widget.attach(widget, document.body),
      activateById: jest.fn(),
      layoutModified: new Signal({}),
      widgets: () => [][Symbol.iterator]()
    },
    serviceManager: {
      sessions: { running: () => running[Symbol.iterator]() },
      serverSettings: ServerConnection.makeSettings(),
      events: events.manager
    }
  } as unknown as JupyterFrontEnd;
});

afterEach(() => {
  closeDialogs();
  panel?.dispose();
  Notification.dismiss();
  jest.restoreAllMocks();
});

describe('the list', () => {
  const kernels = [KERNEL, OTHER, THIRD];

  it.each([
    ['', ['demo', 'other', 'third']],
    ['OTHER', ['other', 'third']],
    ['envs/gone root', ['other']],
    ['/usr/share', ['other']],
    ['yarn user', ['demo', 'third']],
    ['nobody', []]
  ])('is searched for %p', (search, found) => {
    expect(names(matching(kernels, search, FORM.places))).toEqual(found);
  });

  it.each([
    ['kernel', ['demo', 'third', 'other']],
    ['place', ['demo', 'third', 'other']],
    ['used', ['other', 'demo', 'third']],
    ['test', ['third', 'demo', 'other']]
  ] as const)('is sorted by %s', (column, order) => {
    const sort = { column, descending: false };
    expect(names(sorted(kernels, sort))).toEqual(order);
  });

  it('has those that say nothing last, either way', () => {
    const sort = { column: 'used', descending: true } as const;
    expect(names(sorted(kernels, sort))[0]).toBe('other');
  });

  it('calls an environment as people do', () => {
    expect(
      ['/a/project/.venv', '/a/conda/envs/spark', '/a/b/env/', '/'].map(
        shortPath
      )
    ).toEqual(['project/.venv', 'spark', 'b/env', '/']);
  });

  it('says what is wrong, the worst first', () => {
    const marks = marksOf(
      {
        ...OTHER,
        edited_by_hand: true,
        hidden_by: '/k/other',
        untrusted: 'It is writable by all.',
        archive: { digest: 'd', uri: 'u', bytes: 1, drift: 'It drifted.' }
      },
      trans
    );
    expect(marks.map(({ id }) => id)).toEqual([
      'broken',
      'untrusted',
      'hidden',
      'outdated',
      'edited'
    ]);
    expect(marks[2].reason).toContain('/k/other');
    expect(marksOf(KERNEL, trans)).toEqual([]);
    expect(marksOf({ ...KERNEL, ours: false }, trans)).toMatchObject([
      { id: 'foreign' }
    ]);
    const unread = { ...KERNEL, config: null, problem: 'No JSON.' };
    expect(marksOf(unread, trans).map(({ reason }) => reason)).toEqual([
      'No JSON.'
    ]);
  });
});

describe('the panel', () => {
  it('says what there is to say when there is no kernel', async () => {
    await open();
    fireEvent.click(screen.getByRole('button', { name: 'Create a Kernel' }));
    await waitFor(() => expect(create).toHaveBeenCalled());
  });

  it('has a row for each, with its reasons', async () => {
    await open(KERNEL, OTHER, THIRD);
    expect(row(/Other 10/).textContent).toContain(OTHER.broken);
    expect(row(/Other 10/).textContent).toContain('Everyone · root');
    expect(row(/other 9/).textContent).toContain('Nobody listens.');
    expect(row(/other 9/).textContent).toContain('Outdated');
    expect(row(/Demo/).textContent).toContain('Only you · me');
  });

  it('stays usable when the server refuses', async () => {
    await open(KERNEL);
    server.answers['GET kernels'] = () =>
      refuse(422, { field: '', message: 'The disk is away.' });
    fireEvent.click(screen.getByRole('button', { name: 'Refresh' }));
    await screen.findByText('The disk is away.');
    expect(row(/Demo/)).toBeTruthy();
    server.answers['GET kernels'] = () => json([KERNEL, THIRD]);
    fireEvent.click(screen.getByRole('button', { name: 'Refresh' }));
    await screen.findByText('2 kernels');
    expect(screen.queryByText('The disk is away.')).toBeNull();
  });

  it('lists anew when another window changes a kernel, and keeps the row', async () => {
    await open(KERNEL, THIRD);
    row(/other 9/).focus();
    server.answers['GET kernels'] = () => json([OTHER, KERNEL, THIRD]);
    events.stream.emit({ schema_id: KERNEL_EVENT });
    await screen.findByText('3 kernels');
    expect(document.activeElement).toBe(row(/other 9/));
    server.answers['GET kernels'] = () => json([OTHER, KERNEL]);
    events.stream.emit({ schema_id: KERNEL_EVENT });
    await screen.findByText('2 kernels');
    // The one that has taken its place.
    expect(document.activeElement).toBe(row(/Other 10/));
  });

  it('is walked through by keys', async () => {
    await open(KERNEL, OTHER, THIRD);
    row(/Demo/).focus();
    const press = (key: string) =>
      fireEvent.keyDown(document.activeElement!, { key });
    press('ArrowUp');
    expect(document.activeElement).toBe(row(/Demo/));
    press('ArrowDown');
    expect(document.activeElement).toBe(row(/other 9/));
    press('End');
    expect(document.activeElement).toBe(row(/Other 10/));
    press('Home');
    press('Enter');
    await waitFor(() =>
      expect(edit).toHaveBeenCalledWith({ place: 'user', name: 'demo' })
    );
  });
});

describe('the menu', () => {
  it('says why something cannot be done', async () => {
    await open(OTHER);
    const menu = await menuOf('Other 10');
    const items = within(menu).getAllByRole('menuitem');
    const disabled = items.filter(
      item => item.getAttribute('aria-disabled') === 'true'
    );
    expect(disabled.map(({ dataset }) => dataset.action)).toEqual([
      'edit',
      'rename',
      'ui-0',
      'compare',
      'share',
      'delete'
    ]);
    expect(disabled[0].textContent).toContain('not writable for you');
    fireEvent.click(disabled[4]);
    expect(screen.queryByRole('menu')).not.toBeNull();
    expect(server.sent('DELETE', 'kernels/usr-share/other')).toEqual([]);
  });

  it('is gone with Escape, and the row has the focus', async () => {
    await open(KERNEL);
    const menu = await menuOf('Demo');
    expect(document.activeElement?.textContent).toContain('Edit');
    fireEvent.keyDown(menu, { key: 'd' });
    await waitFor(() =>
      expect(document.activeElement?.textContent).toContain('Duplicate')
    );
    fireEvent.keyDown(menu, { key: 'Escape' });
    await waitFor(() => expect(screen.queryByRole('menu')).toBeNull());
    expect(document.activeElement).toBe(row(/Demo/));
  });

  it('deletes, and what was deleted comes back by a click', async () => {
    server.answers['DELETE kernels/user/demo'] = () =>
      new Response(null, { status: 204 });
    await open(KERNEL, THIRD);
    row(/Demo/).focus();
    server.answers['GET kernels'] = () => json([THIRD]);
    fireEvent.keyDown(row(/Demo/), { key: 'Delete' });
    await screen.findByText('1 kernel');
    expect(document.activeElement).toBe(row(/other 9/));
    const [note] = notes();
    expect(note.message).toBe('“Demo” was deleted.');
    server.answers['GET kernels'] = () => json([KERNEL, THIRD]);
    note.options.actions?.[0].callback(new MouseEvent('click'));
    await screen.findByText('2 kernels');
    expect(server.requests.map(({ path }) => path)).toContain(
      'undo?place=user&name=demo'
    );
  });

  it('asks before others lose a kernel', async () => {
    await open({ ...OTHER, writable: true });
    await choose('Other 10', 'Delete');
    await screen.findByText(/for everyone\?/);
    fireEvent.click(screen.getByRole('button', { name: 'Cancel' }));
    await waitFor(() =>
      expect(document.querySelector('.jp-Dialog')).toBeNull()
    );
    expect(server.sent('DELETE', 'kernels/usr-share/other')).toEqual([]);
  });

  it('renames, and says at the field what is wrong', async () => {
    await open(KERNEL);
    server.answers['POST kernels/user/demo/move'] = () =>
      refuse(409, { field: 'name', message: 'It is taken.' });
    await choose('Demo', 'Rename…');
    const input = await screen.findByLabelText<HTMLInputElement>('Kernel name');
    fireEvent.change(input, { target: { value: 'new' } });
    fireEvent.click(screen.getByRole('button', { name: 'Rename' }));
    await screen.findByText('It is taken.');
    expect(input.getAttribute('aria-invalid')).toBe('true');
    const renamed = { ...KERNEL, name: 'newer' };
    server.answers['POST kernels/user/demo/move'] = () => json(renamed, 201);
    server.answers['GET kernels'] = () => json([renamed]);
    fireEvent.change(input, { target: { value: 'newer' } });
    fireEvent.click(screen.getByRole('button', { name: 'Rename' }));
    await waitFor(() =>
      expect(document.querySelector('.jp-Dialog')).toBeNull()
    );
    const [, sent] = server.sent('POST', 'kernels/user/demo/move');
    expect(sent.body).toEqual({ name: 'newer' });
    expect(sent.headers.get('If-Match')).toBe('"abc"');
    await waitFor(() => expect(document.activeElement).toBe(row(/newer/)));
  });

  it('shares with everyone where that can be written to', async () => {
    const places = FORM.places.map(place => ({ ...place, reason: null }));
    server.answers['GET form'] = () => json({ ...FORM, places });
    await open(KERNEL);
    const shared = { ...KERNEL, place: 'usr-share' };
    server.answers['POST kernels/user/demo/move'] = () => json(shared, 201);
    await choose('Demo', 'Share With Everyone…');
    await screen.findByLabelText('Directory');
    fireEvent.click(screen.getByRole('button', { name: 'Share' }));
    await waitFor(() =>
      expect(
        server.sent('POST', 'kernels/user/demo/move').map(({ body }) => body)
      ).toEqual([{ place: 'usr-share' }])
    );
  });

  it('opens the Spark UI of each notebook that runs it', async () => {
    running = [
      { name: 'one.ipynb', kernel: { id: 'k1', name: 'demo' } },
      { name: 'two.ipynb', kernel: { id: 'k2', name: 'demo' } },
      { name: 'three.ipynb', kernel: { id: 'k3', name: 'other' } }
    ];
    const own = '/jupyterlab-pyspark-kernels/ui/k2/';
    server.answers['GET ui/k2'] = () => json({ url: own, tracking: null });
    await open(KERNEL);
    await choose('Demo', 'Open Spark UI of two.ipynb');
    const frame = await screen.findByTitle<HTMLIFrameElement>(
      'Spark UI: two.ipynb'
    );
    expect(new URL(frame.src).pathname).toBe(own);
    const sandbox = frame.getAttribute('sandbox');
    expect(sandbox).toMatch(/allow-modals/);
    expect(sandbox).not.toMatch(/top-navigation|popups/);
    expect(app.shell.activateById).toHaveBeenCalledWith(
      'jp-pyspark-kernels-ui-k2'
    );
    running = running.slice(0, 1);
    const opened = jest.spyOn(window, 'open').mockReturnValue(null);
    const tracking = 'http://rm:8088/proxy/application_1';
    server.answers['GET ui/k1'] = () => json({ url: null, tracking });
    await choose('Demo', 'Open Spark UI');
    await waitFor(() =>
      expect(opened).toHaveBeenCalledWith(
        tracking,
        '_blank',
        'noopener,noreferrer'
      )
    );
  });

  it('says why there is no Spark UI', async () => {
    running = [{ name: 'one.ipynb', kernel: { id: 'k1', name: 'demo' } }];
    const message = 'Spark is starting, and has no UI yet.';
    server.answers['GET ui/k1'] = () => refuse(422, { field: '', message });
    await open(KERNEL);
    await choose('Demo', 'Open Spark UI');
    expect(await screen.findByText(message)).toBeTruthy();
  });

  it('duplicates what is described', async () => {
    await open(KERNEL);
    await choose('Demo', 'Duplicate…');
    await waitFor(() => expect(create).toHaveBeenCalled());
    const [[args]] = create.mock.calls;
    expect(args).toMatchObject({ display_name: 'Demo (copy)', master: 'yarn' });
    expect(args).not.toHaveProperty('name');
  });

  it('exports in every format', async () => {
    server.answers['GET kernels/user/demo/export'] = ({ path }) => {
      const format = path.split('=')[1];
      const remarks = [{ field: 'env', message: 'A secret is left out.' }];
      return json({
        format,
        filename: `demo.${format}`,
        text: `a ${format}`,
        remarks
      });
    };
    await open(KERNEL);
    await choose('Demo', 'Export…');
    await screen.findByText('a kernel');
    await screen.findByText('A secret is left out.');
    fireEvent.change(screen.getByLabelText('As'), {
      target: { value: 'spark-submit' }
    });
    await screen.findByText('a spark-submit');
  });
});

describe('importing', () => {
  it('shows what was not taken, then the form', async () => {
    await open(KERNEL);
    server.answers['POST import'] = () =>
      json({
        config: { master: 'yarn' },
        remarks: [{ field: '', message: '--verbose is left out.' }]
      });
    fireEvent.click(screen.getByRole('button', { name: 'Import…' }));
    const text = await screen.findByLabelText<HTMLTextAreaElement>('Text');
    fireEvent.change(text, { target: { value: 'spark-submit --verbose' } });
    const go = screen.getByRole('button', { name: 'Continue' });
    fireEvent.click(go);
    await screen.findByText('--verbose is left out.');
    expect(create).not.toHaveBeenCalled();
    fireEvent.click(go);
    await waitFor(() =>
      expect(create).toHaveBeenCalledWith({ master: 'yarn' })
    );
    expect(server.sent('POST', 'import')).toHaveLength(1);
  });

  it('keeps what was typed when it cannot be read', async () => {
    await open(KERNEL);
    server.answers['POST import'] = () =>
      refuse(422, { field: 'text', message: 'It is no spark-submit line.' });
    fireEvent.click(screen.getByRole('button', { name: 'Import…' }));
    const text = await screen.findByLabelText<HTMLTextAreaElement>('Text');
    fireEvent.change(text, { target: { value: 'nonsense' } });
    fireEvent.click(screen.getByRole('button', { name: 'Continue' }));
    await screen.findByText('It is no spark-submit line.');
    expect(text.value).toBe('nonsense');
  });
});

describe('a test', () => {
  const TEST: Task = {
    ...TASK,
    kind: 'test',
    title: 'Testing “Demo”',
    stage: 'Starting Spark',
    kernel: { place: 'user', name: 'demo' }
  };
  const FLOWN: Task = {
    ...TEST,
    state: 'done',
    flight: FLIGHT,
    ended: '2026-01-01T10:01:00Z'
  };

  it('shows its stage in the row, then what came of it', async () => {
    await open(KERNEL);
    server.answers['POST kernels/user/demo/test'] = () => json(TEST, 202);
    server.answers['GET tasks/t1'] = () => json(TEST);
    await choose('Demo', 'Test');
    await screen.findByText('Starting Spark');
    server.answers['GET tasks/t1'] = () => json(FLOWN);
    events.tell(FLOWN);
    await screen.findByText('Passed');
    fireEvent.click(
      screen.getByRole('button', { name: 'Details of the test of Demo' })
    );
    await screen.findByText('It flies.');
  });

  it('is followed whoever began it', async () => {
    server.answers['GET tasks'] = () => json([TEST]);
    server.answers['GET tasks/t1'] = () => json(TEST);
    await open(KERNEL);
    await screen.findByText('Starting Spark');
    const menu = await menuOf('Demo');
    expect(within(menu).getByText('It is being tested.')).toBeTruthy();
  });
});

describe('the doctor', () => {
  const REFUSED: Diagnosis = {
    rule: 'master-refuses',
    cause: 'Nobody listens at spark://m:7077.',
    evidence: 'Connection refused',
    fix: 'Check that it runs.',
    command: null,
    remedy: 'edit-master'
  };

  it('gives the cause, and the remedy opens the form', async () => {
    server.answers['GET kernels/user/demo/doctor'] = () => json([REFUSED]);
    void showDoctor(app, trans, { place: 'user', name: 'demo' });
    await screen.findByText(REFUSED.cause);
    fireEvent.click(screen.getByRole('button', { name: 'Edit the Master…' }));
    await waitFor(() =>
      expect(edit).toHaveBeenCalledWith({ place: 'user', name: 'demo' })
    );
    expect(document.querySelector('.jp-Dialog')).toBeNull();
  });

  it('says what files tell when no notebook has failed', async () => {
    server.answers['GET kernels/user/demo'] = () =>
      json({ ...KERNEL, broken: 'The environment is gone.' });
    server.answers['GET kernels/user/demo/doctor'] = () => json([]);
    void showDoctor(app, trans, { place: 'user', name: 'demo' });
    await screen.findByText(/The environment is gone/);
  });

  it('has a button for every remedy of the rules', () => {
    const { rules } = rulebook;
    const remedies = rules.flatMap<string>(rule =>
      'remedy' in rule && rule.remedy ? rule.remedy : []
    );
    expect(remedies.length).toBeGreaterThan(10);
    for (const id of ['test', 'repack']) {
      app.commands.addCommand(`pyspark-kernels:${id}`, { execute: jest.fn() });
    }
    const services = { api: {} as never, commands: app.commands, trans };
    for (const remedy of remedies) {
      const diagnosis = { ...REFUSED, remedy };
      expect([
        remedy,
        remedyButton(diagnosis, KERNEL, services)?.label
      ]).toEqual([remedy, expect.any(String)]);
    }
    const frozen = { ...KERNEL, writable: false };
    expect(remedyButton(REFUSED, frozen, services)).toBeNull();
    const none = { ...REFUSED, remedy: null };
    expect(remedyButton(none, KERNEL, services)).toBeNull();
  });
});

describe('the plugin', () => {
  it('loads and asks for nothing before the panel is opened, and opens it once', async () => {
    const palette = { addItem: jest.fn() };
    const restorer = { restore: jest.fn(async () => undefined) };
    void managerPlugin.activate(
      app,
      restorer as never,
      palette as never,
      null as never
    );
    expect(server.requests).toEqual([]);
    expect(restorer.restore).toHaveBeenCalledTimes(1);
    const [[{ command }]] = palette.addItem.mock.calls;
    panel = await app.commands.execute(command);
    expect(await app.commands.execute(command)).toBe(panel);
    await screen.findByText('1 kernel');
  });
});
