import type { JupyterFrontEnd } from '@jupyterlab/application';
import { Dialog, showDialog } from '@jupyterlab/apputils';
import type { IRunningSessions } from '@jupyterlab/running';
import type { TranslationBundle } from '@jupyterlab/translation';
import {
  infoIcon,
  type LabIcon,
  notebookIcon,
  stopIcon
} from '@jupyterlab/ui-components';
import { Poll } from '@lumino/polling';
import { Signal } from '@lumino/signaling';
import { createElement, type KeyboardEvent, type ReactNode } from 'react';
import '../../style/running.css';
import { Api, type Application, type Applications } from '../api';
import { explain, orExplain } from '../explain';
import { sparkIcon } from '../icon';
import { consequenceOf, consequenceOfAll, detailOf, tooltipOf } from './items';

/**
 * How often is asked what runs, while somebody sees it.
 */
const INTERVAL = 10_000;

/**
 * Commands, of which the second is there when a notebook with a kernel of ours was.
 */
const OPEN = 'docmanager:open';
const SPARK_UI = 'pyspark-kernels:spark-ui';

/**
 * Lists Spark applications among the running sessions, and stops them.
 */
export class RunningApplications implements IRunningSessions.IManager {
  /**
   * @param isShown - tells whether somebody sees the list: nothing is asked otherwise.
   */
  constructor(
    private readonly _app: JupyterFrontEnd,
    isShown: () => boolean,
    private readonly _trans: TranslationBundle
  ) {
    this.name = _trans.__('Spark Applications');
    this.shutdownLabel = _trans.__('Stop Spark');
    this.shutdownAllLabel = _trans.__('Stop All');
    this._api = new Api(_app.serviceManager.serverSettings);
    this._poll = new Poll({
      factory: () => this._ask(),
      frequency: { interval: INTERVAL, backoff: true, max: 12 * INTERVAL },
      standby: () => !isShown(),
      name: 'pyspark-kernels:applications'
    });
  }

  readonly name: string;
  readonly shutdownLabel: string;
  readonly shutdownAllLabel: string;
  readonly shutdownItemIcon = stopIcon;
  readonly supportsMultipleViews = false;
  readonly runningChanged = new Signal<this, void>(this);

  shutdownAllConfirmationText = (): string =>
    consequenceOfAll(this._found.applications, this._trans);

  running(): IRunningSessions.IRunningItem[] {
    return [
      ...this._found.applications.map(application => this._item(application)),
      ...this._found.notes.map(note => this._note(note))
    ];
  }

  refreshRunning(): void {
    void this._poll.refresh();
  }

  /**
   * Stop everything that is listed; somebody has confirmed it.
   */
  shutdownAll(): void {
    void orExplain(this._trans.__('Not everything stopped'), this._trans, () =>
      this._stop(this._found.applications)
    );
  }

  private _item(application: Application): IRunningSessions.IRunningItem {
    const open = this._opener(application);
    const label = application.path?.split('/').pop() ?? application.name;
    return {
      className: 'jp-PySparkKernels-application',
      context: `pyspark-kernels-${application.kernel}`,
      icon: (): LabIcon => (application.path ? notebookIcon : sparkIcon),
      label: () => (open ? button(label, open) : label),
      labelTitle: () => tooltipOf(application, this._trans),
      detail: () => detailOf(application, this._trans),
      shutdown: () => void this._askAndStop(application, label),
      ...(open && { open })
    };
  }

  private _note(note: string): IRunningSessions.IRunningItem {
    return {
      className: 'jp-PySparkKernels-applicationNote',
      icon: () => infoIcon,
      label: () => note,
      labelTitle: () => note
    };
  }

  /**
   * Give what opens the notebook of an application, or else its UI; null when there is neither.
   */
  private _opener({ id, path, name, ui }: Application): (() => void) | null {
    const { commands } = this._app;
    if (path !== null && commands.hasCommand(OPEN)) {
      return () => void commands.execute(OPEN, { path });
    }
    return ui && commands.hasCommand(SPARK_UI)
      ? () => void commands.execute(SPARK_UI, { kernel: id, name })
      : null;
  }

  private async _askAndStop(
    application: Application,
    label: string
  ): Promise<void> {
    const trans = this._trans;
    const { button } = await showDialog({
      title: trans.__('Stop the Spark of “%1”?', label),
      body: consequenceOf(application, trans),
      buttons: [
        Dialog.cancelButton(),
        Dialog.warnButton({
          label:
            application.busy && application.kernel === 'running'
              ? trans.__('Stop Anyway')
              : trans.__('Stop')
        })
      ]
    });
    if (button.accept) {
      await orExplain(trans.__('Spark was not stopped'), trans, () =>
        this._stop([application])
      );
    }
  }

  /**
   * Stop some, also when one of them cannot be stopped, which is told in the end.
   */
  private async _stop(applications: readonly Application[]): Promise<void> {
    const outcomes = await Promise.allSettled(
      applications.map(({ id }) => this._api.stopApplication(id))
    );
    await this._poll.refresh();
    for (const outcome of outcomes) {
      if (outcome.status === 'rejected') {
        throw outcome.reason;
      }
    }
  }

  private async _ask(): Promise<void> {
    let found: Applications;
    try {
      found = await this._api.applications();
    } catch (error) {
      this._show({ ...NOTHING, notes: [explain(error, this._trans)] });
      // The poll then asks less often.
      throw error;
    }
    this._show(found);
  }

  private _show(found: Applications): void {
    if (JSON.stringify(found) !== JSON.stringify(this._found)) {
      this._found = found;
      this.runningChanged.emit();
    }
  }

  private readonly _api: Api;
  private readonly _poll: Poll;
  private _found: Applications = NOTHING;
}

const NOTHING: Applications = { applications: [], notes: [] };

/**
 * Give a label that the keyboard reaches as well; a click is taken by what is around it.
 */
function button(label: string, open: () => void): ReactNode {
  const onKeyDown = (event: KeyboardEvent): void => {
    if (event.key === 'Enter') {
      event.stopPropagation();
      open();
    }
  };
  // JupyterLab's search looks through a list of children.
  return createElement('span', { role: 'link', tabIndex: 0, onKeyDown }, [
    label
  ]);
}
