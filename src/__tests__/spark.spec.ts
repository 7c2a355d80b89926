import type { JupyterFrontEnd } from '@jupyterlab/application';
import type { ISessionContext } from '@jupyterlab/apputils';
import type { Kernel } from '@jupyterlab/services';
import { nullTranslator } from '@jupyterlab/translation';
import { Toolbar } from '@jupyterlab/ui-components';
import { CommandRegistry } from '@lumino/commands';
import { Signal } from '@lumino/signaling';
import { Widget } from '@lumino/widgets';
import type { IStatusBar } from '@jupyterlab/statusbar';
import { ServerConnection } from '@jupyterlab/services';
import { fireEvent, screen, waitFor, within } from '@testing-library/dom';
import { indicationOf, factsOf } from '../notebook/indication';
import type { ISparkStatus } from '../notebook/spark';
import { Watch } from '../notebook/watch';
import { DIAGNOSIS, json, KERNEL, refuse, Server } from './server';

const AT = '2026-01-02T10:00:00+00:00';

/**
 * Stands in for a comm of JupyterLab's kernel connection.
 */
class Comm {
  onMsg: (message: object) => void = () => undefined;
  isOpen = false;
  isDisposed = false;

  open(): void {
    this.isOpen = true;
  }

  close(): void {
    this.isOpen = false;
    this.isDisposed = true;
  }
}

/**
 * Stands in for the connection to a kernel.
 */
class Connection {
  readonly comms: Comm[] = [];
  readonly targets: string[] = [];
  readonly name = 'demo';
  handleComms = true;
  isDisposed = false;

  createComm(target: string): Comm {
    this.targets.push(target);
    this.comms.push(new Comm());
    return this.comms[this.comms.length - 1];
  }

  tell(stage: string, seconds?: number, ui: string | null = null): void {
    const idle = seconds === undefined ? null : { seconds, at: AT };
    this.say({ stage, idle, ui });
  }

  run(done: number | null, all = 200): void {
    const tasks = { done, running: 2, failed: 0, all };
    const running = done === null ? null : { jobs: 1, stages: 2, tasks };
    this.say({ activity: { running } });
  }

  say(data: object): void {
    this.comms[this.comms.length - 1].onMsg({ content: { data } });
  }
}

let commands: CommandRegistry;
let panel: Widget & { toolbar: Toolbar };
let kernel: Connection;
let context: {
  session: { kernel: Connection | null };
  kernelChanged: Signal<object, { newValue: Connection | null }>;
};
let hear: (event: unknown) => void;
let shell: {
  currentWidget: Widget | null;
  currentChanged: Signal<object, void>;
};
let item: IStatusBar.IItem;
let server: Server;
let executed: [string, unknown][];

beforeEach(() => {
  const toolbar = new Toolbar();
  panel = Object.assign(new Widget(), { toolbar });
  toolbar.addItem('spacer', Toolbar.createSpacerItem());
  toolbar.addItem('kernelName', new Widget());
  Widget.attach(toolbar, document.body);
  kernel = new Connection();
  context = { session: { kernel }, kernelChanged: new Signal({}) };
  shell = { currentWidget: panel, currentChanged: new Signal({}) };
  commands = new CommandRegistry();
  executed = [];
  for (const command of ['edit', 'test']) {
    commands.addCommand(`pyspark-kernels:${command}`, {
      execute: args => void executed.push([command, args])
    });
  }
  server = new Server();
  const serviceManager = { serverSettings: ServerConnection.makeSettings() };
  const app = { commands, shell, serviceManager } as unknown as JupyterFrontEnd;
  const statusBar: IStatusBar = {
    registerStatusItem: (_, options) => {
      item = options;
      Widget.attach(item.item, document.body);
      return item.item;
    }
  };
  const watch = new Watch(app, nullTranslator, {
    palette: null,
    settings: null,
    statusBar
  });
  hear = event =>
    watch.hear(
      panel,
      context as unknown as ISessionContext,
      kernel as unknown as Kernel.IKernelConnection,
      event
    );
  hear('idle');
});

afterEach(() => {
  panel.toolbar.dispose();
  item.item.dispose();
  panel.dispose();
});

function indicator(): HTMLElement {
  const found = panel.toolbar.node.querySelectorAll<HTMLElement>(
    '.jp-PySparkKernels-indicator'
  );
  expect(found.length).toBe(1);
  return found[0];
}

function button(): HTMLButtonElement {
  return indicator().querySelector('button') as HTMLButtonElement;
}

function shown(): string | null {
  return button().hidden ? null : button().textContent;
}

function said(): string | null | undefined {
  return indicator().querySelector('[role="status"]')?.textContent;
}

function inStatusBar(): string | null {
  return item.isActive?.() ? item.item.node.textContent : null;
}

it('stands before the kernel’s name, and listens once', () => {
  expect([...panel.toolbar.names()]).toEqual([
    'spacer',
    'pyspark-kernels',
    'kernelName',
    'pyspark-kernels-ui'
  ]);
  hear('busy');
  hear({ content: {} });
  expect(kernel.targets).toEqual(['pyspark-kernels']);
  expect(kernel.comms[0].isOpen).toBe(true);
});

it.each([
  ['jvm', 'coming', 'Spark: JVM starts'],
  ['connecting', 'coming', 'Spark: connecting'],
  ['executors', 'coming', 'Executors: 0'],
  ['ready', 'ready', 'Spark ready'],
  ['failed', 'failed', 'Spark failed'],
  ['stopped', 'stopped', 'Spark stopped'],
  ['new', 'coming', null]
])('says how Spark is at the stage %s', (stage, kind, label) => {
  kernel.tell(stage);
  expect(shown()).toBe(label);
  expect(button().dataset.kind).toBe(kind);
  expect(inStatusBar()).toBe(label);
});

it.each([
  ['jvm', /^Spark is starting/],
  ['connecting', /^Spark is starting/],
  ['ready', /^Spark has no UI here: spark\.ui\.enabled is false/],
  ['failed', /^Spark does not run/],
  ['stopped_idle', /^Spark does not run/]
])('does not open a UI that is not there, and says why: %s', (stage, why) => {
  kernel.tell(stage);
  expect(commands.isEnabled('pyspark-kernels:spark-ui')).toBe(false);
  expect(commands.caption('pyspark-kernels:spark-ui')).toMatch(why);
});

it('opens the UI as soon as it is there, and of no other notebook', () => {
  const heard = jest.fn();
  commands.commandChanged.connect(heard);
  kernel.tell('ready', undefined, 'http://127.0.0.1:4040');
  expect(heard).toHaveBeenCalled();
  expect(commands.isEnabled('pyspark-kernels:spark-ui')).toBe(true);
  const args = { notebook: 'another' };
  expect(commands.isEnabled('pyspark-kernels:spark-ui', args)).toBe(false);
  expect(commands.caption('pyspark-kernels:spark-ui', args)).toMatch(/^Go to/);
  panel.dispose();
  expect(commands.isEnabled('pyspark-kernels:spark-ui')).toBe(false);
});

it('says that executors were released, for how long and when', () => {
  kernel.tell('ready');
  kernel.tell('released', 1800);
  expect(shown()).toBe('Spark released: 30 min idle');
  const caption = button().title;
  expect(caption).toMatch(/^Spark released: idle for 30 min\. .*executors/);
  expect(caption).toContain('26');
  expect(caption).toContain('the next Spark cell gets them again');
  expect(said()).toBe(caption);
});

it('says that Spark was stopped, and that it comes back until it is ready', () => {
  kernel.tell('stopped_idle', 45);
  expect(shown()).toBe('Spark stopped: 45 s idle');
  expect(button().dataset.kind).toBe('resting');
  expect(button().title).toContain('the next Spark cell starts it again');
  for (const stage of ['returning', 'connecting', 'executors']) {
    kernel.tell(stage);
    expect(shown()).toBe('Spark is coming back');
    expect(button().dataset.kind).toBe('coming');
  }
  kernel.tell('ready');
  expect(shown()).toBe('Spark ready');
  // That is no coming back.
  kernel.tell('executors');
  expect(shown()).toBe('Executors: 0');
});

it('ends coming back with a failure', () => {
  kernel.tell('returning');
  kernel.tell('failed');
  expect(shown()).toBe('Spark failed');
});

it('is gone when the kernel is another one', () => {
  kernel.tell('stopped_idle', 3600);
  expect(shown()).not.toBeNull();
  context.session.kernel = null;
  context.kernelChanged.emit({ newValue: null });
  expect(shown()).toBeNull();
  expect(kernel.comms[0].isOpen).toBe(false);
  // What was still under way is nobody's any more.
  kernel.tell('stopped_idle', 3600);
  expect(shown()).toBeNull();
});

it.each(['restarting', 'autorestarting', 'dead'])(
  'forgets a kernel that is %s, and listens to it anew',
  status => {
    kernel.tell('stopped_idle', 3600);
    hear(status);
    expect(shown()).toBe(status === 'dead' ? null : 'Spark: asking kernel');
    expect(kernel.comms.length).toBe(1);
    hear('idle');
    expect(kernel.comms.length).toBe(2);
    kernel.tell('released', 60);
    expect(shown()).toBe('Spark released: 1 min idle');
  }
);

it('listens no longer when the notebook is closed', () => {
  panel.dispose();
  expect(kernel.comms[0].isOpen).toBe(false);
  hear('idle');
  expect(kernel.comms.length).toBe(1);
});

it('does without a kernel that takes no comms', () => {
  const other = new Connection();
  other.handleComms = false;
  kernel = other;
  context.session.kernel = other;
  hear('idle');
  expect(other.comms).toEqual([]);
  expect(shown()).toBeNull();
});

const trans = nullTranslator.load('');

/** What a notebook on a cluster is told. */
const READY: ISparkStatus = {
  stage: 'ready',
  stages: { jvm: 0, connecting: 2.04, executors: 3, ready: 4.25 },
  executors: 2,
  executors_wanted: 2,
  cores: 4,
  memory_mib: 3072,
  master: 'spark://host:7077',
  application_id: 'app-1',
  spark_version: '4.3.0'
};

it.each<[string, Partial<ISparkStatus>, string, string]>([
  [
    'on a cluster',
    {},
    'Spark: 4 cores, 3 GiB',
    'Spark is ready: 2 executors, 4 cores, 3 GiB.'
  ],
  [
    'on this machine',
    { executors: 0, cores: 1, memory_mib: 512, master: 'local[1]' },
    'Spark: 1 core, 512 MiB',
    'Spark is ready: 1 core, 512 MiB.'
  ],
  [
    'with an older launcher, or Spark Connect',
    { executors: 0, cores: null, memory_mib: undefined },
    'Spark ready',
    'Spark is ready.'
  ],
  [
    'while executors come',
    { stage: 'executors', executors: 1, cores: 2 },
    'Executors: 1 of 2',
    'Spark is starting: it waits for its executors, and has 1 of 2.'
  ],
  [
    'while it connects',
    { stage: 'connecting' },
    'Spark: connecting',
    'Spark is starting: it connects to spark://host:7077.'
  ],
  [
    'when it failed',
    { stage: 'failed', cause: 'Nobody listens.', fix: 'Start it.' },
    'Spark failed',
    'Spark failed. Nobody listens. Start it.'
  ]
])('says how Spark is %s', (_, changes, label, caption) => {
  const status = { ...READY, ...changes };
  const model = { status, activity: null, isReturning: false, isAsked: true };
  expect(indicationOf(model, trans)).toMatchObject({ label, caption });
});

it('lists what is known', () => {
  expect(factsOf(READY, trans)).toEqual([
    ['Master', 'spark://host:7077'],
    ['Application', 'app-1'],
    ['Executors', '2 of 2'],
    ['Cores', '4'],
    ['Memory', '3 GiB'],
    ['Start', 'JVM 2.0 s, connecting 1.0 s, executors 1.3 s'],
    ['Spark', '4.3.0']
  ]);
  expect(factsOf({ stage: 'ready' }, trans)).toEqual([]);
  const local = { ...READY, master: 'local[2]', executors: 0 };
  expect(Object.fromEntries(factsOf(local, trans))).not.toHaveProperty(
    'Executors'
  );
});

describe('what runs', () => {
  beforeEach(() => void jest.useFakeTimers());
  afterEach(() => void jest.useRealTimers());

  it('counts on at a pace that can be read, and is not said aloud', () => {
    kernel.say(READY);
    const heard = said();
    kernel.run(0);
    expect(shown()).toBe('Spark: 0 of 200 tasks');
    expect(button().dataset.kind).toBe('running');
    kernel.run(10);
    kernel.run(20);
    expect(shown()).toBe('Spark: 0 of 200 tasks');
    jest.advanceTimersByTime(500);
    expect(shown()).toBe('Spark: 20 of 200 tasks');
    expect(inStatusBar()).toBe('Spark: 20 of 200 tasks');
    expect(button().title).toBe(
      'Spark runs 1 job, 2 stages, 20 of 200 tasks done.'
    );
    expect(said()).toBe(heard);
    kernel.run(null);
    expect(shown()).toBe('Spark: 4 cores, 3 GiB');
    expect(said()).toBe(heard);
  });

  it('is not shown where nobody sees it, and then as it is', () => {
    kernel.say(READY);
    panel.toolbar.hide();
    kernel.run(5);
    jest.advanceTimersByTime(5000);
    expect(shown()).toBe('Spark: 4 cores, 3 GiB');
    panel.toolbar.show();
    expect(shown()).toBe('Spark: 5 of 200 tasks');

    const visible = jest.spyOn(document, 'visibilityState', 'get');
    visible.mockReturnValue('hidden');
    kernel.tell('stopped');
    expect(shown()).toBe('Spark: 5 of 200 tasks');
    visible.mockReturnValue('visible');
    document.dispatchEvent(new Event('visibilitychange'));
    expect(shown()).toBe('Spark stopped');
    visible.mockRestore();
  });
});

it('shows in the status bar how Spark is in the current notebook', () => {
  const active = jest.fn();
  item.activeStateChanged?.connect(active);
  expect(inStatusBar()).toBe('Spark: asking kernel');
  kernel.say(READY);
  expect(active).toHaveBeenCalled();
  expect(inStatusBar()).toBe('Spark: 4 cores, 3 GiB');
  shell.currentWidget = new Widget();
  shell.currentChanged.emit();
  expect(inStatusBar()).toBeNull();
  shell.currentWidget = panel;
  shell.currentChanged.emit();
  expect(inStatusBar()).toBe('Spark: 4 cores, 3 GiB');
});

describe('the details', () => {
  async function open(of = button()): Promise<HTMLElement> {
    of.focus();
    of.click();
    return screen.findByRole('dialog', { name: 'Spark of this notebook' });
  }

  it('have the focus, and give it back', async () => {
    kernel.say(READY);
    // The toolbar's takes part in the toolbar's own ways with the focus, which needs a browser.
    const opener = item.item.node.querySelector('button') as HTMLButtonElement;
    const details = await open(opener);
    expect(opener.getAttribute('aria-expanded')).toBe('true');
    await waitFor(() => expect(details.textContent).toContain('app-1'));
    expect(document.activeElement).toBe(details);
    fireEvent.keyDown(details, { key: 'Escape' });
    expect(screen.queryByRole('dialog')).toBeNull();
    expect(document.activeElement).toBe(opener);
    expect(opener.getAttribute('aria-expanded')).toBe('false');
    // The button opens and closes.
    await open();
    button().click();
    await waitFor(() => expect(screen.queryByRole('dialog')).toBeNull());
    await open();
    fireEvent.pointerDown(document.body);
    expect(screen.queryByRole('dialog')).toBeNull();
  });

  it('follow what runs', async () => {
    kernel.say({ ...READY, ui: 'http://127.0.0.1:4040' });
    kernel.run(50);
    const details = await open();
    const bar = await within(details).findByRole('progressbar');
    expect(bar.getAttribute('value')).toBe('50');
    kernel.run(120);
    await waitFor(() => expect(bar.getAttribute('value')).toBe('120'));
    kernel.run(null);
    await waitFor(() =>
      expect(within(details).queryByRole('progressbar')).toBeNull()
    );
    const ui = within(details).getByRole('button', { name: 'Open Spark UI' });
    expect(ui.getAttribute('aria-disabled')).toBe('false');
    expect(server.requests).toEqual([]);
    // A kernel that starts anew has nothing to tell.
    hear('restarting');
    expect(screen.queryByRole('dialog')).toBeNull();
  });

  it('say why Spark failed, and offer what helps', async () => {
    const { cause, fix } = DIAGNOSIS;
    server.answers['GET kernels'] = () => json([KERNEL]);
    server.answers['GET kernels/user/demo/doctor'] = () => json([DIAGNOSIS]);
    kernel.say({ ...READY, stage: 'failed', cause, fix });
    const details = await open();
    const remedy = await within(details).findByText('Edit the Master…');
    expect(within(details).getByText(cause)).toBeTruthy();
    expect(within(details).getByText(fix)).toBeTruthy();
    expect(within(details).getByText('Test This Kernel')).toBeTruthy();
    fireEvent.click(remedy);
    const address = { place: 'user', name: 'demo' };
    await waitFor(() => expect(executed).toEqual([['edit', address]]));
    expect(screen.queryByRole('dialog')).toBeNull();
  });

  it('offer a test when the doctor speaks of another failure', async () => {
    server.answers['GET kernels'] = () => json([KERNEL]);
    server.answers['GET kernels/user/demo/doctor'] = () => json([DIAGNOSIS]);
    kernel.say({ ...READY, stage: 'failed', cause: 'It is odd.' });
    const details = await open();
    fireEvent.click(await within(details).findByText('Test This Kernel'));
    expect(within(details).queryByText('Edit the Master…')).toBeNull();
    await waitFor(() => expect(executed.length).toBe(1));
  });

  it('say that the server refuses', async () => {
    server.answers['GET kernels'] = () => refuse(403);
    kernel.say({ ...READY, stage: 'failed', cause: 'It is odd.' });
    const details = await open();
    await within(details).findByText(/^The server answered/);
  });
});
