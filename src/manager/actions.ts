/**
 * What can be done with kernels, from the panel.
 */

import { Dialog, Notification, showDialog } from '@jupyterlab/apputils';
import type { Session } from '@jupyterlab/services';
import { announceUndone } from '../announce';
import type { Kernel, KernelConfig, Place, Remark, Written } from '../api';
import { CommandIDs } from '../commands';
import { showComparison } from '../compare';
import { showEffective } from '../effective';
import { orExplain } from '../explain';
import { showSparkUi } from '../notebook/sparkpage';
import { shownTasks } from '../tasks/shown';
import { TaskCommandIDs } from '../tasks/plugin';
import { ask } from './ask';
import { showDoctor, showExport, showReceipt } from './dialogs';
import type { ManagerModel } from './model';
import { isShared, keyOf } from './rows';

const UNDO_MS = 15_000;

/**
 * Something that can be done with a kernel.
 */
export interface IAction {
  id: string;
  label: string;
  /** The key that does the same, as `aria-keyshortcuts` has it. */
  key?: string;
  /** Why it cannot be done; null when it can. */
  reason: string | null;
  run: () => Promise<unknown>;
}

/**
 * Give everything that can be done with a kernel, in the order of the menu.
 */
export function actionsOf(kernel: Kernel, model: ManagerModel): IAction[] {
  const { trans } = model.services;
  const { display_name } = kernel;
  const unread =
    kernel.config === null
      ? trans.__('It cannot be read: %1', kernel.problem ?? '')
      : null;
  const foreign =
    kernel.ours || unread !== null
      ? null
      : trans.__(
          'It was not made here. Duplicate it to have one that can be changed.'
        );
  const frozen =
    foreign ?? (kernel.writable ? null : notWritable(kernel, model));
  const shared = model.places.filter(place => place.shared);
  const action = (
    id: string,
    label: string,
    failed: string,
    reason: string | null,
    run: () => Promise<unknown>,
    key?: string
  ): IAction => ({
    id,
    label,
    key,
    reason,
    run: () => orExplain(failed, trans, run)
  });
  const unchanged = trans.__('“%1” was not changed', display_name);
  const unshown = trans.__('It cannot be shown');
  const actions = [
    action(
      'edit',
      trans.__('Edit…'),
      unchanged,
      unread ?? frozen,
      () => edit(kernel, model),
      'Enter'
    ),
    action(
      'duplicate',
      trans.__('Duplicate…'),
      trans.__('No PySpark kernel was created'),
      unread,
      () => duplicate(kernel, model)
    ),
    action(
      'rename',
      trans.__('Rename…'),
      unchanged,
      unread ?? frozen,
      () => rename(kernel, model),
      'F2'
    ),
    action(
      'test',
      trans.__('Test'),
      trans.__('“%1” was not tested', display_name),
      unread ?? foreign ?? running(kernel, model),
      () => model.test(kernel)
    ),
    ...uisOf(kernel, model).map(({ label, reason, of }, at) =>
      action(
        `ui-${at}`,
        label,
        trans.__('The Spark UI cannot be shown'),
        reason,
        () => showUi(of, model)
      )
    ),
    action('doctor', trans.__('Diagnose…'), unshown, foreign, () =>
      showDoctor(model.services, kernel)
    ),
    action('receipt', trans.__('Last Receipt…'), unshown, unread, () =>
      receipt(kernel, model)
    ),
    action(
      'effective',
      trans.__('Effective Configuration…'),
      unshown,
      unread,
      () => showEffective(model.services, kernel.config as KernelConfig)
    ),
    action(
      'compare',
      trans.__('Compare With…'),
      unshown,
      unread ?? (othersOf(kernel, model).length > 0 ? null : alone(model)),
      () => compare(kernel, model)
    ),
    action('export', trans.__('Export…'), unshown, unread, () =>
      showExport(model.services, kernel)
    ),
    action(
      'share',
      trans.__('Share With Everyone…'),
      unchanged,
      unread ?? frozen ?? unshareable(kernel, shared, model),
      () => share(kernel, model)
    )
  ];
  if (kernel.archive) {
    actions.push(
      action(
        'repack',
        trans.__('Pack Again'),
        trans.__('Nothing was packed'),
        unread ?? frozen,
        () => repack(kernel, model)
      )
    );
  }
  actions.push(
    action(
      'delete',
      trans.__('Delete'),
      trans.__('“%1” was not deleted', display_name),
      frozen,
      () => remove(kernel, model),
      'Delete'
    )
  );
  return actions;
}

function notWritable(kernel: Kernel, model: ManagerModel): string {
  const { trans } = model.services;
  const place = model.places.find(({ id }) => id === kernel.place);
  return (
    place?.reason ??
    trans.__('It belongs to %1, and only they can change it.', kernel.owner)
  );
}

function running(kernel: Kernel, model: ManagerModel): string | null {
  return model.testOf(keyOf(kernel))?.isRunning
    ? model.services.trans.__('It is being tested.')
    : null;
}

/**
 * Give what opens the Spark UI of whatever runs a kernel: one for each of its notebooks.
 */
function uisOf({ name }: Kernel, { services }: ManagerModel) {
  const { sessions, trans } = services;
  const label = trans.__('Open Spark UI');
  const all = [...sessions.running()].filter(
    ({ kernel }) => kernel?.name === name
  );
  if (all.length === 0) {
    return [{ label, reason: trans.__('No notebook runs it.'), of: null }];
  }
  return all.map(of => ({
    label: all.length === 1 ? label : trans.__('Open Spark UI of %1', of.name),
    reason: null,
    of
  }));
}

async function showUi(
  of: Session.IModel | null,
  { services }: ManagerModel
): Promise<void> {
  if (of?.kernel) {
    const { api, shell, trans } = services;
    await showSparkUi(shell, api, trans, { id: of.kernel.id, name: of.name });
  }
}

function unshareable(
  kernel: Kernel,
  shared: readonly Place[],
  model: ManagerModel
): string | null {
  const { trans } = model.services;
  if (isShared(kernel.place, model.places)) {
    return trans.__('Everyone can use it already.');
  }
  if (shared.some(({ reason }) => reason === null)) {
    return null;
  }
  const [first] = shared;
  return (
    first?.reason ??
    trans.__('Jupyter has no directory that everyone reads kernels from.')
  );
}

/**
 * Give the kernels that one can be compared with, in the order of the table.
 */
function othersOf(kernel: Kernel, model: ManagerModel): readonly Kernel[] {
  return (model.kernels ?? []).filter(
    other => other.config !== null && keyOf(other) !== keyOf(kernel)
  );
}

function alone({ services: { trans } }: ManagerModel): string {
  return trans.__('There is no other kernel.');
}

async function compare(kernel: Kernel, model: ManagerModel): Promise<void> {
  const { trans } = model.services;
  const others = othersOf(kernel, model);
  let other: Kernel | undefined = others[0];
  const isChosen = await ask({
    trans,
    title: trans.__('Compare “%1”', kernel.display_name),
    accept: trans.__('Compare'),
    questions: [
      {
        field: 'name',
        label: trans.__('With'),
        value: keyOf(others[0]),
        choices: others.map(choice => ({
          value: keyOf(choice),
          label: `${choice.display_name} (${choice.name})`
        }))
      }
    ],
    submit: async ({ name }) => {
      other = others.find(choice => keyOf(choice) === name);
      return [];
    }
  });
  if (isChosen && other) {
    await showComparison(model.services, kernel, other);
  }
}

async function edit({ place, name }: Kernel, model: ManagerModel) {
  const { commands } = model.services;
  await commands.execute(CommandIDs.edit, { place, name });
  await model.load();
}

async function receipt(kernel: Kernel, model: ManagerModel): Promise<void> {
  await showReceipt(model.services, kernel);
  await model.load();
}

/**
 * Let a kernel be described, and go to it.
 */
export async function create(
  model: ManagerModel,
  config: KernelConfig = {}
): Promise<void> {
  const { commands } = model.services;
  // Only what a command takes: no field that is empty.
  const args = JSON.parse(JSON.stringify(config));
  const kernel: Kernel | null = await commands.execute(CommandIDs.create, args);
  if (kernel) {
    await model.goTo(kernel);
  }
}

function duplicate(kernel: Kernel, model: ManagerModel): Promise<void> {
  const { trans } = model.services;
  const { config, display_name } = kernel;
  const place = model.places.find(({ id }) => id === kernel.place);
  return create(model, {
    ...config,
    name: undefined,
    place: place?.reason === null ? kernel.place : undefined,
    display_name: trans.__('%1 (copy)', display_name)
  });
}

async function rename(kernel: Kernel, model: ManagerModel): Promise<void> {
  const { api, trans } = model.services;
  const { display_name, name } = kernel;
  let written: Written | null = null;
  await ask({
    trans,
    title: trans.__('Rename “%1”', display_name),
    accept: trans.__('Rename'),
    questions: [
      {
        field: 'display_name',
        label: trans.__('Name'),
        description: trans.__('What the launcher calls the kernel.'),
        value: display_name
      },
      {
        field: 'name',
        label: trans.__('Kernel name'),
        description: trans.__(
          'What notebooks keep of it. A notebook that was saved with the old one asks for a kernel when it is opened.'
        ),
        value: name
      }
    ],
    submit: async answers => {
      const changes = Object.fromEntries(
        Object.entries({ display_name, name })
          .map(([field, old]) => [field, old, answers[field].trim()])
          .filter(([, old, value]) => old !== value)
          .map(([field, , value]) => [field, value])
      );
      if (Object.keys(changes).length > 0) {
        written = await during(() => api.move(kernel, changes));
      }
      return [];
    }
  });
  await moved(written, model);
}

async function share(kernel: Kernel, model: ManagerModel): Promise<void> {
  const { api, trans } = model.services;
  const shared = model.places.filter(place => place.shared);
  const writable = shared.filter(({ reason }) => reason === null);
  let written: Written | null = null;
  await ask({
    trans,
    title: trans.__('Share “%1” With Everyone', kernel.display_name),
    accept: trans.__('Share'),
    questions: [
      {
        field: 'place',
        label: trans.__('Directory'),
        description: trans.__(
          'The kernel moves there. Everyone whose Jupyter reads that directory can use it, and read its settings and environment variables.'
        ),
        value: writable[0].id,
        choices: shared.map(({ id, kernels, reason }) => ({
          value: id,
          label: reason === null ? kernels : `${kernels} — ${reason}`,
          disabled: reason !== null
        }))
      }
    ],
    submit: async ({ place }) => {
      written = await during(() => api.move(kernel, { place }));
      return [];
    }
  });
  await moved(written, model);
}

/**
 * Send a request that may begin a task. Notifications show the task.
 */
async function during(work: () => Promise<Written>): Promise<Written> {
  const written = await shownTasks.during(work);
  if (written.task) {
    shownTasks.release(written.task);
  }
  return written;
}

/**
 * Go to a kernel that was moved, once the dialog has given the focus back.
 */
async function moved(
  written: Written | null,
  model: ManagerModel
): Promise<void> {
  await (written?.kernel ? model.goTo(written.kernel) : model.load());
}

async function repack(
  { place, name }: Kernel,
  model: ManagerModel
): Promise<void> {
  const { commands } = model.services;
  await commands.execute(TaskCommandIDs.repack, { place, name });
}

/**
 * Take a kernel away. One's own is back by a click; others would miss a shared one meanwhile.
 */
async function remove(kernel: Kernel, model: ManagerModel): Promise<void> {
  const { api, trans } = model.services;
  const { place, name, display_name } = kernel;
  if (isShared(place, model.places) && !(await isCertain(kernel, model))) {
    return;
  }
  await api.delete(place, name);
  await model.load();
  Notification.info(trans.__('“%1” was deleted.', display_name), {
    autoClose: UNDO_MS,
    actions: [
      {
        label: trans.__('Undo'),
        callback: () => void undo(model, { place, name })
      }
    ]
  });
}

async function isCertain(
  { display_name }: Kernel,
  { services: { trans } }: ManagerModel
): Promise<boolean> {
  const { button } = await showDialog({
    title: trans.__('Delete “%1” for everyone?', display_name),
    body: trans.__(
      'Others may use it. Their notebooks that run go on; new ones cannot start with it.'
    ),
    buttons: [
      Dialog.cancelButton({ label: trans.__('Cancel') }),
      Dialog.warnButton({ label: trans.__('Delete') })
    ],
    defaultButton: 0
  });
  return button.accept;
}

/**
 * Take back the last change, of one kernel or of any.
 */
export function undo(
  model: ManagerModel,
  of?: { place: string; name: string }
): Promise<unknown> {
  const { api, trans } = model.services;
  return orExplain(trans.__('Nothing was undone'), trans, async () => {
    const kernel = await api.undo(of);
    await model.goTo(kernel);
    announceUndone(trans, kernel);
  });
}

/**
 * Read what somebody has pasted, and let it be looked through in the form.
 */
export async function importKernel(model: ManagerModel): Promise<void> {
  const { api, trans } = model.services;
  let config: KernelConfig = {};
  const isRead = await ask({
    trans,
    title: trans.__('Import a PySpark Kernel'),
    accept: trans.__('Continue'),
    questions: [
      {
        field: 'text',
        label: trans.__('Text'),
        description: trans.__(
          'A spark-submit line, a kernel.json, or a kernel file that was exported. Nothing is written before you have seen it in the form.'
        ),
        value: '',
        isLong: true
      }
    ],
    submit: async ({ text }): Promise<readonly Remark[]> => {
      const read = await api.import(text);
      config = free(read.config as KernelConfig, model);
      return read.remarks;
    }
  });
  if (isRead) {
    await create(model, config);
  }
}

/**
 * Leave the name out where another kernel has it: it is made from what the form says then.
 */
function free(config: KernelConfig, model: ManagerModel): KernelConfig {
  const isTaken = model.kernels?.some(({ name }) => name === config.name);
  return isTaken ? { ...config, name: undefined } : config;
}
