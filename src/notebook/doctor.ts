/**
 * What is said of a kernel that failed under a notebook. It is loaded when the first one has.
 */

import type { JupyterFrontEnd } from '@jupyterlab/application';
import {
  Clipboard,
  type ISessionContext,
  Notification
} from '@jupyterlab/apputils';
import type { Kernel } from '@jupyterlab/services';
import type { TranslationBundle } from '@jupyterlab/translation';
import { Api, type Diagnosis, type Kernel as OurKernel } from '../api';
import { explain } from '../explain';
import { remedyButton } from '../remedies';

const TEST = 'pyspark-kernels:test';
const DETAILS = 'pyspark-kernels:doctor';

/**
 * How many characters of a notification JupyterLab shows.
 */
const MOST_SHOWN = 140;

/**
 * Says why a kernel failed, once for each failure, in the words of `jupyter pyspark-kernels doctor`.
 */
export class Doctor {
  constructor(
    private readonly _app: JupyterFrontEnd,
    private readonly _trans: TranslationBundle
  ) {
    this._api = new Api(_app.serviceManager.serverSettings);
  }

  /**
   * Take note that the kernel of a notebook has failed.
   */
  see(context: ISessionContext, kernel: Kernel.IKernelConnection): void {
    if (!this._watched.has(context)) {
      this._watched.add(context);
      context.statusChanged.connect(this._onStatus, this);
    }
    if (!this._seen.has(kernel.id)) {
      // Before anything is awaited: the same failure is seen several times.
      this._seen.add(kernel.id);
      void this._tell(kernel);
    }
  }

  /**
   * Whoever restarts a kernel wants to know of its next failure, and no more of the last one.
   */
  private _onStatus({ session }: ISessionContext, status: string): void {
    const id = session?.kernel?.id;
    if (id !== undefined && status === 'restarting') {
      this._seen.delete(id);
      const note = this._notes.get(id);
      if (note !== undefined) {
        Notification.dismiss(note);
        this._notes.delete(id);
      }
    }
  }

  private async _tell(failed: Kernel.IKernelConnection): Promise<void> {
    let note: string | null = null;
    try {
      note = await this._show(failed);
    } catch (error) {
      const why = explain(error, this._trans);
      console.warn('Why the kernel failed is not known:', why);
    }
    if (note === null) {
      // Perhaps more is known when it fails again: JupyterLab restarts it a few times.
      this._seen.delete(failed.id);
    } else {
      this._notes.set(failed.id, note);
    }
  }

  /**
   * Ask why a kernel failed, and say so.
   *
   * @returns the notification; null when nothing is known.
   */
  private async _show(
    failed: Kernel.IKernelConnection
  ): Promise<string | null> {
    const kernels = await this._api.kernels();
    const kernel = kernels.find(
      ({ name, hidden_by: hider }) => name === failed.name && hider === null
    );
    if (!kernel) {
      return null;
    }
    const [first] = await this._api.doctor(kernel.place, kernel.name);
    if (!first) {
      return failed.status === 'dead' ? this._offerTest(kernel) : null;
    }
    const message = `${first.cause} ${first.fix}`;
    const actions = this._actions(first, kernel, message.length > MOST_SHOWN);
    return Notification.error(message, { autoClose: false, actions });
  }

  /**
   * Offer a test of a kernel that ended without a word; null when there is no such command.
   */
  private _offerTest(kernel: OurKernel): string | null {
    const actions = this._commandAction(TEST, kernel);
    return actions.length === 0
      ? null
      : Notification.error(
          this._trans.__(
            'The kernel “%1” ended, and left nothing that tells why. A test may tell.',
            kernel.display_name
          ),
          { autoClose: false, actions }
        );
  }

  private _actions(
    diagnosis: Diagnosis,
    kernel: OurKernel,
    isCutOff: boolean
  ): Notification.IAction[] {
    const { commands } = this._app;
    const [api, trans] = [this._api, this._trans];
    const { command, remedy } = diagnosis;
    const button = remedyButton(diagnosis, kernel, { api, commands, trans });
    const actions: Notification.IAction[] = [];
    if (button) {
      const { label, run } = button;
      actions.push({
        label,
        displayType: 'accent',
        callback: () => void run()
      });
    }
    if (remedy !== 'test') {
      actions.push(...this._commandAction(TEST, kernel));
    }
    if (command !== null) {
      actions.push({
        label: trans.__('Copy Command'),
        caption: command,
        callback: event => {
          // What is to be done stays on the screen until it is done.
          event.preventDefault();
          Clipboard.copyToSystem(command);
        }
      });
    }
    if (isCutOff) {
      actions.push(...this._commandAction(DETAILS, kernel));
    }
    return actions;
  }

  /**
   * Give the button for a command, if there is one: what is not installed is not offered.
   */
  private _commandAction(
    command: typeof TEST | typeof DETAILS,
    { place, name }: OurKernel
  ): Notification.IAction[] {
    const { commands } = this._app;
    if (!commands.hasCommand(command)) {
      return [];
    }
    const label =
      command === TEST
        ? this._trans.__('Test Kernel')
        : this._trans.__('Details');
    const callback = (): void =>
      void commands.execute(command, { place, name });
    return [{ label, callback }];
  }

  private readonly _api: Api;
  private readonly _watched = new WeakSet<ISessionContext>();
  /** The kernels whose failure was told or is being asked about. */
  private readonly _seen = new Set<string>();
  /** The notifications of kernels, by their ids. */
  private readonly _notes = new Map<string, string>();
}
