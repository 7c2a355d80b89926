import type { JupyterFrontEnd } from '@jupyterlab/application';
import type { ICommandPalette } from '@jupyterlab/apputils';
import { Notification } from '@jupyterlab/apputils';
import type { ILauncher } from '@jupyterlab/launcher';
import { ServerConnection } from '@jupyterlab/services';
import type { ISettingRegistry } from '@jupyterlab/settingregistry';
import { fireEvent, screen, waitFor } from '@testing-library/dom';
import { CommandRegistry } from '@lumino/commands';
import { CommandIDs, commandsPlugin } from '../commands';
import { closeDialogs, Events, json, KERNEL, refuse, Server } from './server';

const refreshSpecs = jest.fn(async () => undefined);
const openNotebook = jest.fn();

let server: Server;
let commands: CommandRegistry;

/** Activate the plugin with some of what it can use. */
function activate(
  given: {
    launcher?: { add: jest.Mock };
    palette?: { addItem: jest.Mock };
    settings?: object;
  } = {}
): void {
  commands = new CommandRegistry();
  commands.addCommand('notebook:create-new', { execute: openNotebook });
  const app = {
    commands,
    serviceManager: {
      serverSettings: ServerConnection.makeSettings(),
      events: new Events().manager,
      kernelspecs: { refreshSpecs }
    }
  };
  const registry = given.settings && {
    load: async () => ({ composite: given.settings })
  };
  void commandsPlugin.activate(
    app as unknown as JupyterFrontEnd,
    (given.launcher ?? null) as ILauncher | null,
    (given.palette ?? null) as ICommandPalette | null,
    (registry ?? null) as ISettingRegistry | null,
    null
  );
}

function news(): readonly Notification.INotification[] {
  return Notification.manager.notifications;
}

// The first import of the dialog translates much of JupyterLab.
beforeAll(() => import('../dialog'), 60_000);

beforeEach(() => {
  server = new Server();
  refreshSpecs.mockClear();
  openNotebook.mockClear();
});

afterEach(() => {
  closeDialogs();
  Notification.dismiss();
  jest.restoreAllMocks();
});

describe('the plugin', () => {
  it('works with nothing that Notebook lacks', () => {
    activate();
    expect(commands.listCommands()).toEqual([
      'notebook:create-new',
      ...Object.values(CommandIDs)
    ]);
    expect(server.requests).toEqual([]);
  });

  it('adds a tile, and what is of use to the palette', () => {
    const launcher = { add: jest.fn() };
    const palette = { addItem: jest.fn() };
    activate({ launcher, palette });
    const [[item]] = launcher.add.mock.calls;
    expect(item.command).toBe(CommandIDs.create);
    expect(commands.label(item.command, item.args)).toBe(
      'Create PySpark Kernel'
    );
    expect(commands.label(item.command)).toBe('Create PySpark Kernel…');
    expect(palette.addItem.mock.calls.map(([{ command }]) => command)).toEqual([
      CommandIDs.create,
      CommandIDs.undo
    ]);
  });

  it('describes the arguments of its commands', async () => {
    activate();
    const { args } = await commands.describedBy(CommandIDs.create);
    expect(args).toMatchObject({
      properties: { master: { type: 'string' }, cwd: { type: 'string' } }
    });
    expect(commands.isEnabled(CommandIDs.edit)).toBe(false);
    expect(commands.isEnabled(CommandIDs.edit, { place: 'a', name: 'b' })).toBe(
      true
    );
  });
});

describe('creating', () => {
  it('only fills in what a command was given, and writes nothing', async () => {
    activate({ settings: { executor_memory: '3g', master: 'yarn' } });
    const done = commands.execute(CommandIDs.create, {
      display_name: 'From a link',
      master: 'local[1]'
    });
    const name = await screen.findByLabelText<HTMLInputElement>(/^Name/);
    expect(name.value).toBe('From a link');
    expect(screen.getByLabelText<HTMLInputElement>('Master').value).toBe(
      'local[1]'
    );
    expect(
      screen.getByLabelText<HTMLInputElement>('Executor memory').value
    ).toBe('3g');
    await waitFor(() => expect(server.sent('POST', 'preview').length).toBe(1));
    fireEvent.click(screen.getByRole('button', { name: 'Cancel' }));
    expect(await done).toBeNull();
    expect(server.sent('POST', 'kernels')).toEqual([]);
    expect(refreshSpecs).not.toHaveBeenCalled();
    expect(news()).toEqual([]);
  });

  it('lists the kernel, and offers a notebook with it', async () => {
    activate();
    const done = commands.execute(CommandIDs.create, {
      display_name: 'x',
      cwd: 'folder'
    });
    await screen.findByLabelText(/^Name/);
    fireEvent.click(screen.getByRole('button', { name: 'Create' }));
    expect(await done).toEqual(KERNEL);
    expect(refreshSpecs).toHaveBeenCalledTimes(1);
    const [{ message, options }] = news();
    expect(message).toBe('The kernel “Demo” was created.');
    expect(options.autoClose).toBe(15_000);
    options.actions?.[0].callback(new MouseEvent('click'));
    expect(openNotebook).toHaveBeenCalledWith({
      kernelName: 'demo',
      cwd: 'folder'
    });
  });

  it('is done although the kernels cannot be listed', async () => {
    const warn = jest.spyOn(console, 'warn').mockImplementation();
    refreshSpecs.mockRejectedValueOnce(new Error('offline'));
    activate();
    const done = commands.execute(CommandIDs.create, { display_name: 'x' });
    await screen.findByLabelText(/^Name/);
    fireEvent.click(screen.getByRole('button', { name: 'Create' }));
    expect(await done).toEqual(KERNEL);
    expect(news()[0].message).toBe('The kernel “Demo” was created.');
    expect(warn).toHaveBeenCalledTimes(1);
  });

  it.each([
    [
      'sends a page to log in',
      () => new Response('<html>Log in</html>'),
      /perhaps you have to log in again/
    ],
    [
      'has a newer dialog than this page',
      () => {
        throw Object.assign(new Error('404'), { name: 'ChunkLoadError' });
      },
      /Reload the page/
    ],
    [
      'has no such extension',
      () => json({ message: 'Not Found' }, 404),
      /jupyterlab_pyspark_kernels does not answer/
    ],
    [
      'fails',
      () => new Response('', { status: 500, statusText: 'Broken' }),
      /500 Broken/
    ],
    [
      'cannot be reached',
      () => {
        throw new ServerConnection.NetworkError(new TypeError('Failed'));
      },
      /cannot be reached/
    ]
  ])('explains that the server %s', async (_, answer, text) => {
    jest.spyOn(console, 'warn').mockImplementation();
    server.answers['GET form'] = answer;
    activate();
    const done = commands.execute(CommandIDs.create);
    await screen.findByText(text);
    fireEvent.click(screen.getByRole('button', { name: 'Close' }));
    expect(await done).toBeNull();
  });
});

it('edits the kernel of an address', async () => {
  activate();
  const done = commands.execute(CommandIDs.edit, {
    place: 'user',
    name: 'demo'
  });
  await screen.findByText('Edit PySpark Kernel');
  fireEvent.click(screen.getByRole('button', { name: 'Save' }));
  expect(await done).toEqual(KERNEL);
  expect(refreshSpecs).toHaveBeenCalledTimes(1);
  expect(news()[0].message).toContain('“Demo” was changed.');
});

it('does not edit what cannot be read', async () => {
  jest.spyOn(console, 'warn').mockImplementation();
  server.answers['GET kernels/user/demo'] = () =>
    json({ ...KERNEL, config: null, problem: 'It is no JSON.' });
  activate();
  const done = commands.execute(CommandIDs.edit, {
    place: 'user',
    name: 'demo'
  });
  await screen.findByText('It is no JSON.');
  fireEvent.click(screen.getByRole('button', { name: 'Close' }));
  expect(await done).toBeNull();
});

it('undoes the last change', async () => {
  activate();
  expect(await commands.execute(CommandIDs.undo)).toEqual(KERNEL);
  expect(refreshSpecs).toHaveBeenCalledTimes(1);
  expect(news()[0].message).toBe('“Demo” is as it was before.');
});

it('says why nothing was undone', async () => {
  jest.spyOn(console, 'warn').mockImplementation();
  server.answers['POST undo'] = () =>
    refuse(404, { field: 'name', message: 'There is nothing to undo.' });
  activate();
  const done = commands.execute(CommandIDs.undo);
  await screen.findByText('There is nothing to undo.');
  fireEvent.click(screen.getByRole('button', { name: 'Close' }));
  expect(await done).toBeNull();
  expect(refreshSpecs).not.toHaveBeenCalled();
});
