import type { JupyterFrontEnd } from '@jupyterlab/application';
import { Clipboard, Notification } from '@jupyterlab/apputils';
import { ServerConnection } from '@jupyterlab/services';
import { waitFor } from '@testing-library/dom';
import { CommandRegistry } from '@lumino/commands';
import { Signal } from '@lumino/signaling';
import { Widget } from '@lumino/widgets';
import type { Diagnosis } from '../api';
import { notebookPlugin } from '../notebook/plugin';
import { DIAGNOSIS, json, KERNEL, refuse, Server } from './server';

const SENTENCE = `${DIAGNOSIS.cause} ${DIAGNOSIS.fix}`;
const SPARK_ERROR = { ename: 'SparkStartError', evalue: '' };

let server: Server;
let commands: CommandRegistry;
let executed: [string, unknown][];
let open: (name: string, id?: string) => Context;

/**
 * Stands in for what a notebook knows of its kernel.
 */
class Context {
  constructor(name: string, id: string) {
    this.session = { kernel: { id, name, status: 'idle' } };
  }

  readonly session: {
    kernel: { id: string; name: string; status: string } | null;
  };
  readonly kernelChanged = new Signal<this, object>(this);
  readonly statusChanged = new Signal<this, string>(this);
  readonly iopubMessage = new Signal<this, { content: object }>(this);

  change(name: string): void {
    const newValue = { id: 'k2', name, status: 'idle' };
    this.session.kernel = newValue;
    this.kernelChanged.emit({ newValue });
  }

  become(status: string): void {
    if (this.session.kernel) {
      this.session.kernel.status = status;
    }
    this.statusChanged.emit(status);
  }

  print(content: object): void {
    this.iopubMessage.emit({ content });
  }
}

// The first import of what is loaded late translates much of JupyterLab.
beforeAll(async () => {
  await import('../notebook/doctor');
  await import('../notebook/watch');
}, 60_000);

beforeEach(() => {
  server = new Server();
  executed = [];
  commands = new CommandRegistry();
  for (const command of ['edit', 'test', 'doctor']) {
    const id = `pyspark-kernels:${command}`;
    commands.addCommand(id, {
      execute: args => void executed.push([command, args])
    });
  }
  const app = {
    commands,
    docRegistry: {
      addWidgetExtension: (
        _: string,
        { createNew }: { createNew: (...args: unknown[]) => void }
      ) => {
        open = (name, id = 'k1') => {
          const context = new Context(name, id);
          createNew(new Widget(), { sessionContext: context });
          return context;
        };
      }
    },
    shell: {},
    serviceManager: {
      serverSettings: ServerConnection.makeSettings(),
      kernelspecs: {
        specs: {
          kernelspecs: {
            demo: { metadata: { pyspark_kernels: {} } },
            python3: { metadata: {} }
          }
        }
      }
    }
  };
  void notebookPlugin.activate(app as unknown as JupyterFrontEnd, null, null);
});

afterEach(() => {
  Notification.dismiss();
  jest.restoreAllMocks();
});

function notes(): readonly Notification.INotification[] {
  return Notification.manager.notifications;
}

async function theNote(): Promise<Notification.INotification> {
  await waitFor(() => expect(notes().length).toBe(1));
  return notes()[0];
}

function labels(note: Notification.INotification): (string | undefined)[] {
  return note.options.actions?.map(({ label }) => label) ?? [];
}

/** Wait until everything that was heard has been dealt with. */
function settled(): Promise<void> {
  return new Promise(resolve => setTimeout(resolve, 50));
}

function answer(diagnosis: Partial<Diagnosis>): void {
  server.answers['GET kernels/user/demo/doctor'] = () =>
    json([{ ...DIAGNOSIS, ...diagnosis }]);
}

it.each<[string, (context: Context) => void]>([
  ['a cell needs the Spark that is not there', c => c.print(SPARK_ERROR)],
  [
    'the launcher prints that it is not there',
    c => c.print({ name: 'stderr', text: 'Spark did not start. Nobody' })
  ],
  ['the kernel ends', c => c.become('dead')],
  ['the kernel ends and is started again', c => c.become('autorestarting')]
])('says the doctor’s sentence when %s', async (_, fail) => {
  fail(open('demo'));
  const note = await theNote();
  expect(note.message).toBe(SENTENCE);
  expect(note.type).toBe('error');
  expect(note.options.autoClose).toBe(false);
  expect(labels(note)).toEqual(['Edit the Master…', 'Test Kernel']);
  for (const action of note.options.actions ?? []) {
    action.callback(new MouseEvent('click'));
  }
  const address = { place: 'user', name: 'demo' };
  await waitFor(() =>
    expect(executed).toEqual([
      ['edit', address],
      ['test', address]
    ])
  );
});

it('asks nothing of kernels that are not ours, and of ours that work', async () => {
  open('python3').become('dead');
  open('unknown').become('dead');
  const context = open('demo');
  context.become('busy');
  context.print({ ename: 'ValueError' });
  context.print({ text: 'It says: Spark did not start.' });
  await settled();
  expect(server.requests).toEqual([]);
});

it('tells the same failure once, and the next one after a restart', async () => {
  const context = open('demo');
  context.print(SPARK_ERROR);
  context.print(SPARK_ERROR);
  await theNote();
  context.print(SPARK_ERROR);
  // The kernel of another notebook is the same one.
  open('demo').print(SPARK_ERROR);
  await settled();
  expect(notes().length).toBe(1);
  expect(server.sent('GET', 'kernels/user/demo/doctor').length).toBe(1);

  // What was wrong before is no news any more.
  context.become('restarting');
  expect(notes()).toEqual([]);
  context.print(SPARK_ERROR);
  await theNote();
});

it('asks again while a kernel fails and nothing is known', async () => {
  const context = open('demo');
  server.answers['GET kernels/user/demo/doctor'] = () => json([]);
  context.become('autorestarting');
  await settled();
  expect(notes()).toEqual([]);
  answer({});
  context.become('autorestarting');
  expect((await theNote()).message).toBe(SENTENCE);
});

it('offers a test of a kernel that ended without a word', async () => {
  server.answers['GET kernels/user/demo/doctor'] = () => json([]);
  open('demo').become('dead');
  const note = await theNote();
  expect(note.message).toContain('The kernel “Demo” ended');
  expect(labels(note)).toEqual(['Test Kernel']);
});

it('copies the command, and stays until it is run', async () => {
  const copy = jest.spyOn(Clipboard, 'copyToSystem').mockImplementation();
  answer({ command: 'pip install ipykernel', remedy: 'test' });
  open('demo').become('dead');
  const note = await theNote();
  expect(labels(note)).toEqual(['Test', 'Copy Command']);
  const click = new MouseEvent('click', { cancelable: true });
  note.options.actions?.[1].callback(click);
  expect(click.defaultPrevented).toBe(true);
  expect(copy).toHaveBeenCalledWith('pip install ipykernel');
});

it('offers the whole of what JupyterLab cuts off', async () => {
  answer({ fix: 'x'.repeat(140) });
  open('demo').become('dead');
  expect(labels(await theNote())).toContain('Details');
});

it('knows the kernel that Jupyter takes by its name', async () => {
  const hidden = { ...KERNEL, place: 'usr-share', hidden_by: '/home/me' };
  server.answers['GET kernels'] = () => json([hidden, KERNEL]);
  open('demo').become('dead');
  await theNote();
  expect(server.sent('GET', 'kernels/user/demo/doctor').length).toBe(1);
});

it('says nothing when it may not ask, and asks at the next failure', async () => {
  const warn = jest.spyOn(console, 'warn').mockImplementation();
  server.answers['GET kernels'] = () => refuse(403);
  const context = open('demo');
  context.become('autorestarting');
  await waitFor(() => expect(warn).toHaveBeenCalled());
  expect(notes()).toEqual([]);
  server.answers['GET kernels'] = () => json([KERNEL]);
  context.become('dead');
  await theNote();
});
