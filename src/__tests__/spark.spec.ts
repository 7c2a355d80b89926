import type { JupyterFrontEnd } from '@jupyterlab/application';
import type { ISessionContext } from '@jupyterlab/apputils';
import type { Kernel } from '@jupyterlab/services';
import { nullTranslator } from '@jupyterlab/translation';
import { Toolbar } from '@jupyterlab/ui-components';
import { CommandRegistry } from '@lumino/commands';
import { Signal } from '@lumino/signaling';
import { Widget } from '@lumino/widgets';
import { Watch } from '../notebook/watch';

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
  handleComms = true;
  isDisposed = false;

  createComm(target: string): Comm {
    this.targets.push(target);
    this.comms.push(new Comm());
    return this.comms[this.comms.length - 1];
  }

  tell(stage: string, seconds?: number, ui: string | null = null): void {
    const idle = seconds === undefined ? null : { seconds, at: AT };
    this.comms[this.comms.length - 1].onMsg({
      content: { data: { stage, idle, ui } }
    });
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

beforeEach(() => {
  const toolbar = new Toolbar();
  panel = Object.assign(new Widget(), { toolbar });
  toolbar.addItem('spacer', Toolbar.createSpacerItem());
  toolbar.addItem('kernelName', new Widget());
  Widget.attach(toolbar, document.body);
  kernel = new Connection();
  context = { session: { kernel }, kernelChanged: new Signal({}) };
  const shell = { currentWidget: panel };
  commands = new CommandRegistry();
  const app = { commands, shell } as unknown as JupyterFrontEnd;
  const watch = new Watch(app, nullTranslator, null, null);
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
});

function indicator(): HTMLElement {
  const found = panel.toolbar.node.querySelectorAll<HTMLElement>(
    '.jp-PySparkKernels-indicator'
  );
  expect(found.length).toBe(1);
  return found[0];
}

function shown(): string | null {
  return indicator().classList.contains('lm-mod-hidden')
    ? null
    : indicator().textContent;
}

it('stands before the kernel’s name, and listens once', () => {
  expect([...panel.toolbar.names()]).toEqual([
    'spacer',
    'pyspark-kernels',
    'pyspark-kernels-ui',
    'kernelName'
  ]);
  hear('busy');
  hear({ content: {} });
  expect(kernel.targets).toEqual(['pyspark-kernels']);
  expect(kernel.comms[0].isOpen).toBe(true);
});

it.each([
  'jvm',
  'connecting',
  'executors',
  'ready',
  'failed',
  'stopped',
  'new'
])('says nothing when Spark is at the stage %s', stage => {
  kernel.tell(stage);
  expect(shown()).toBeNull();
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
  expect(shown()).toBe('Spark released: idle for 30 min');
  const status = indicator().querySelector('[role="status"]');
  const caption = status?.getAttribute('aria-label') ?? '';
  expect(caption).toMatch(/^Spark released: idle for 30 min\. .*executors/);
  expect(caption).toContain('26');
  expect(caption).toContain('the next Spark cell gets them again');
  expect(status?.getAttribute('title')).toBe(caption);
});

it('says that Spark was stopped, and that it comes back until it is ready', () => {
  kernel.tell('stopped_idle', 45);
  expect(shown()).toBe('Spark stopped: idle for 45 s');
  expect(indicator().dataset.kind).toBe('resting');
  expect(indicator().querySelector('span')?.title).toContain(
    'the next Spark cell starts it again'
  );
  for (const stage of ['returning', 'connecting', 'executors']) {
    kernel.tell(stage);
    expect(shown()).toBe('Spark is coming back');
    expect(indicator().dataset.kind).toBe('coming');
  }
  kernel.tell('ready');
  expect(shown()).toBeNull();
  kernel.tell('executors');
  expect(shown()).toBeNull();
});

it('ends coming back with a failure', () => {
  kernel.tell('returning');
  kernel.tell('failed');
  expect(shown()).toBeNull();
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
    expect(shown()).toBeNull();
    expect(kernel.comms.length).toBe(1);
    hear('idle');
    expect(kernel.comms.length).toBe(2);
    kernel.tell('released', 60);
    expect(shown()).toBe('Spark released: idle for 1 min');
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
