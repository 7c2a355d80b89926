import type { TranslationBundle } from '@jupyterlab/translation';
import { Debouncer } from '@lumino/polling';
import {
  type Api,
  ApiError,
  type ClusterReport,
  type KernelConfig
} from '../api';

const DELAY_MS = 600;
const BUSY_DELAY_MS = 2_000;
const NOT_PERMITTED = 403;
const BUSY = 429;

/**
 * What is drawn of the cluster; plain data.
 */
export interface IFiguresView {
  report: ClusterReport | null;
  /** Why there is no report, where that is worth a word. */
  note: string | null;
  /** Whether all this is of values that stand in the form no more. */
  isStale: boolean;
}

/**
 * Whether what the cluster is asked depends on a field, by the field's layout.
 */
export function isAskedAbout(layout: unknown): boolean {
  const { 'ui:options': options } = (layout ?? {}) as {
    'ui:options'?: { figures?: boolean };
  };
  return options?.figures === true;
}

interface IQuestion {
  config: KernelConfig;
  /** Is another one when the question is. */
  key: string;
}

/**
 * Asks the kernel's cluster what it has: some time after the last change of the question, one
 * question at a time, and keeps no answer to a question that nobody asks any more.
 *
 * It is help and no more: whatever goes wrong, the form can be used as if nobody had asked.
 */
export class Figures {
  /**
   * @param onChanged - is called when there is something else to show.
   */
  constructor(
    private readonly _api: Api,
    private readonly _trans: TranslationBundle,
    private readonly _onChanged: () => void
  ) {}

  get view(): IFiguresView {
    const isStale = this._question?.key !== this._answered?.key;
    return { report: this._report, note: this._note, isStale };
  }

  /**
   * Take what is to be asked from now on.
   *
   * @param config - the fields that the answer depends on; null when nothing is to be asked for now.
   */
  want(config: KernelConfig | null): void {
    const key = JSON.stringify(config);
    if (key === (this._question?.key ?? 'null')) {
      return;
    }
    this._question = config && { config, key };
    if (this.view.isStale) {
      invoke(this._soon);
    }
  }

  dispose(): void {
    this._question = null;
    this._isDisposed = true;
    this._soon.dispose();
    this._later.dispose();
  }

  private async _ask(): Promise<void> {
    const question = this._question;
    if (question === null || this._isAsking || !this.view.isStale) {
      return;
    }
    this._isAsking = true;
    let report: ClusterReport | null = null;
    let status = 0;
    try {
      report = await this._api.cluster(question.config);
    } catch (error) {
      // Whatever is wrong with a field, the preview says; and that the network fails, the button.
      status = error instanceof ApiError ? error.status : 0;
    }
    this._isAsking = false;
    if (this._isDisposed) {
      return;
    }
    if (question !== this._question) {
      invoke(this._soon);
    } else if (status === BUSY) {
      invoke(this._later);
    } else {
      this._take(question, report, status);
    }
  }

  private _take(
    question: IQuestion,
    report: ClusterReport | null,
    status: number
  ): void {
    this._answered = question;
    this._report = report;
    this._note =
      status === NOT_PERMITTED
        ? this._trans.__(
            'You are not permitted to ask the cluster what it has free.'
          )
        : null;
    this._onChanged();
  }

  private readonly _soon = new Debouncer(() => this._ask(), DELAY_MS);
  private readonly _later = new Debouncer(() => this._ask(), BUSY_DELAY_MS);
  private _question: IQuestion | null = null;
  private _answered: IQuestion | null = null;
  private _report: ClusterReport | null = null;
  private _note: string | null = null;
  private _isAsking = false;
  private _isDisposed = false;
}

function invoke(debouncer: Debouncer): void {
  // It rejects when it is disposed of first.
  debouncer.invoke().catch(() => undefined);
}
