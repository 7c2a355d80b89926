import type { JupyterFrontEnd } from '@jupyterlab/application';
import { ServerConnection } from '@jupyterlab/services';
import {
  IRunningSessionManagers,
  RunningSessionManagers
} from '@jupyterlab/running';
import { nullTranslator } from '@jupyterlab/translation';
import { CommandRegistry } from '@lumino/commands';
import { Signal } from '@lumino/signaling';
import { screen, waitFor } from '@testing-library/dom';
import type { Application, Applications } from '../api';
import './server';
import { notebookPlugin } from '../notebook/plugin';
import { consequenceOfAll, detailOf, tooltipOf } from '../running/items';
import type { RunningApplications } from '../running/manager';

const trans = nullTranslator.load('');
const ONE: Application = {
  id: 'k1',
  kernel: 'running',
  name: 'Analytics',
  path: 'folder/Sales.ipynb',
  busy: false,
  stage: 'ready',
  master: 'yarn',
  application_id: 'application_1_2',
  cores: 4,
  since: '2026-01-02T10:00:00+00:00',
  ui: true
};
const LOST: Application = {
  ...ONE,
  id: 'k2',
  kernel: 'process',
  name: 'Left',
  path: null,
  cores: 1,
  ui: false
};

let answer: Applications;
let sent: string[];
let status: number;
let panel: HTMLElement;
let isVisible: boolean;
let opened: unknown[];
let layoutModified: Signal<object, void>;
let managers: IRunningSessionManagers;
let app: JupyterFrontEnd;

beforeEach(() => {
  [answer, sent, status] = [{ applications: [ONE, LOST], notes: [] }, [], 204];
  [isVisible, opened] = [false, []];
  panel = document.createElement('div');
  panel.id = 'jp-running-sessions';
  // jsdom lays nothing out.
  Object.defineProperty(panel, 'offsetParent', {
    get: () => (isVisible ? document.body : null)
  });
  document.body.append(panel);
  layoutModified = new Signal({});
  managers = new RunningSessionManagers();
  const commands = new CommandRegistry();
  commands.addCommand('docmanager:open', {
    execute: args => opened.push(args.path)
  });
  const serverSettings = ServerConnection.makeSettings({
    fetch: async (input: RequestInfo | URL, init?: RequestInit) => {
      const request = new Request(input, init);
      sent.push(`${request.method} ${new URL(request.url).pathname}`);
      if (request.method === 'GET') {
        return new Response(JSON.stringify(answer));
      }
      const why = { message: 'Not now.', reason: 'cannot-be-done' };
      return status === 204
        ? new Response(null, { status })
        : new Response(
            JSON.stringify({
              ...why,
              errors: [{ field: '', message: 'Not now.' }]
            }),
            { status }
          );
    }
  });
  app = {
    commands,
    docRegistry: { addWidgetExtension: () => undefined },
    shell: { layoutModified, widgets: () => [] },
    resolveOptionalService: async (token: unknown) =>
      token === IRunningSessionManagers ? managers : null,
    serviceManager: { serverSettings }
  } as unknown as JupyterFrontEnd;
  void notebookPlugin.activate(app, null, null);
});

afterEach(() => {
  isVisible = false;
  document.body.replaceChildren();
});

async function show(): Promise<RunningApplications> {
  isVisible = true;
  layoutModified.emit();
  await waitFor(() => expect(managers.items()).toHaveLength(1));
  const manager = managers.items()[0] as RunningApplications;
  await waitFor(() =>
    expect(manager.running().length).toBe(
      answer.applications.length + answer.notes.length
    )
  );
  return manager;
}

function press(name: string): void {
  screen.getByRole('button', { name }).click();
}

it('does nothing before the panel is shown', async () => {
  layoutModified.emit();
  await new Promise(resolve => setTimeout(resolve, 50));
  expect([managers.items(), sent]).toEqual([[], []]);
});

it('lists applications, and says what the server could not find out', async () => {
  answer.notes = ['The cluster does not answer.'];
  const manager = await show();
  const [first, second, note] = manager.running();
  expect(first.detail?.()).toBe('yarn · 4 cores · ready');
  expect(second.detail?.()).toBe('no kernel · yarn · 1 core · ready');
  expect(second.label()).toBe('Left');
  expect(note.label()).toBe('The cluster does not answer.');
  expect(note.shutdown).toBeUndefined();
  first.open?.();
  expect(opened).toEqual(['folder/Sales.ipynb']);
  expect(second.open).toBeUndefined();
});

it('asks again when the panel is shown again', async () => {
  await show();
  const before = sent.length;
  isVisible = false;
  layoutModified.emit();
  layoutModified.emit();
  expect(sent).toHaveLength(before);
  isVisible = true;
  layoutModified.emit();
  await waitFor(() => expect(sent.length).toBeGreaterThan(before));
});

it('stops one when it is confirmed', async () => {
  const manager = await show();
  manager.running()[0].shutdown?.();
  await screen.findByText('Stop the Spark of “Sales.ipynb”?');
  press('Cancel');
  await waitFor(() => expect(screen.queryByRole('dialog')).toBeNull());
  expect(sent.filter(one => one.startsWith('DELETE'))).toEqual([]);

  answer = { applications: [{ ...ONE, busy: true }], notes: [] };
  manager.refreshRunning();
  await waitFor(() => expect(manager.running()).toHaveLength(1));
  manager.running()[0].shutdown?.();
  await screen.findByText(/A cell is running: its Spark jobs will fail/);
  answer = { applications: [], notes: [] };
  press('Stop Anyway');
  await waitFor(() => expect(manager.running()).toEqual([]));
  expect(sent.filter(one => one.startsWith('DELETE'))).toEqual([
    'DELETE /jupyterlab-pyspark-kernels/applications/k1'
  ]);
});

it('stops all, and tells why one does not stop', async () => {
  const manager = await show();
  expect(manager.shutdownAllConfirmationText()).toContain(
    '1 application has no kernel'
  );
  status = 422;
  manager.shutdownAll();
  await screen.findByText('Not now.');
  expect(sent.filter(one => one.startsWith('DELETE'))).toHaveLength(2);
  press('Close');
});

it('says everything of an application', () => {
  expect(tooltipOf(ONE, trans)).toMatch(
    /Kernel: Analytics\nNotebook: folder\/Sales.ipynb\nApplication: application_1_2\nSince: /
  );
  expect(tooltipOf(LOST, trans)).toContain('server that had it is gone');
  const starting = { ...ONE, stage: 'jvm', master: null, cores: null };
  expect(detailOf(starting, trans)).toBe('starting');
  const gone: Application = { ...LOST, kernel: 'application' };
  expect(detailOf(gone, trans)).toBe('no kernel · yarn · 1 core');
  expect(consequenceOfAll([{ ...ONE, busy: true }], trans)).toContain(
    '1 kernel runs a cell'
  );
});
