/**
 * How Spark is in a kernel, as the kernel's launcher tells it.
 */

import { type Kernel, KernelMessage } from '@jupyterlab/services';
import type { TranslationBundle } from '@jupyterlab/translation';
import { Signal } from '@lumino/signaling';
import type { Receipt } from '../api';
import type { IActivity } from './activity';

const COMM_TARGET = 'pyspark-kernels';

/**
 * What the launcher is asked by while a cell runs.
 */
const REQUEST = 'pyspark_kernels_request';

/**
 * The stages that Spark goes through on its way to be ready.
 */
const ON_THE_WAY = ['returning', 'jvm', 'connecting', 'executors'];

/**
 * The part of the launcher's status that a notebook shows.
 */
export interface ISparkStatus {
  /** How far Spark is: what the launcher's status file says. */
  stage: string;
  /** Where the driver has its UI; null when it has none. */
  ui?: string | null;
  /** For how long the kernel was idle when it gave something back, and when that was. */
  idle?: { seconds: number; at: string } | null;
  /** What the last Spark of this kernel held and used; null while none has stopped. */
  receipt?: Receipt | null;
  /** At how many seconds after its start the kernel first was at each stage. */
  stages?: Record<string, number>;
  executors?: number;
  /** As many as were asked for; null when no number was. */
  executors_wanted?: number | null;
  /** Of all executors, or of the driver where that does their work. */
  cores?: number | null;
  memory_mib?: number | null;
  master?: string | null;
  application_id?: string | null;
  spark_version?: string | null;
  /** Why it failed. */
  cause?: string | null;
  /** What to do about it; older launchers say that with the cause. */
  fix?: string | null;
}

/**
 * Follows the Spark of one notebook's kernel.
 */
export class SparkModel {
  /** What the launcher told last; null when nothing is known. */
  get status(): ISparkStatus | null {
    return this._status;
  }

  /** Whether there is a kernel that tells, or will when it has time. */
  get isAsked(): boolean {
    return this._isAsked;
  }

  /** What Spark works on; null when nothing is known. */
  get activity(): IActivity | null {
    return this._activity;
  }

  /** Whether Spark was away and is not ready again. */
  get isReturning(): boolean {
    return this._isReturning;
  }

  /**
   * What Spark has used that stopped just now; null when there is no news. It is given once.
   */
  takeReceipt(): Receipt | null {
    const receipt = this._receipt;
    this._receipt = null;
    return receipt;
  }

  /** Is emitted when the launcher has told something. */
  readonly changed = new Signal<this, void>(this);

  /**
   * Listen to a kernel of ours.
   *
   * @param event - what was heard of it; a kernel that starts anew has forgotten who listens.
   */
  follow(kernel: Kernel.IKernelConnection, event?: unknown): void {
    if (this._kernel !== null) {
      this.leave(kernel);
    }
    if (typeof event === 'string' && /restarting$|^dead$/.test(event)) {
      // One that ended for good tells nothing any more.
      this._forget(this._isAsked && event !== 'dead');
    } else if (this._kernel !== kernel && kernel.handleComms) {
      this._kernel = kernel;
      this._isAsked = true;
      const comm = kernel.createComm(COMM_TARGET);
      this._comm = comm;
      comm.onMsg = message => {
        if (this._comm === comm) {
          this._take(message);
        }
      };
      comm.open();
      this.changed.emit();
    }
  }

  /**
   * Listen no longer, unless to this kernel.
   */
  leave(kernel: Kernel.IKernelConnection | null): void {
    if (this._kernel !== kernel) {
      const [comm, left] = [this._comm, this._kernel];
      this._forget(false);
      if (comm && !comm.isDisposed && left && !left.isDisposed) {
        comm.close();
      }
    }
  }

  /**
   * Ask the launcher to do something; what comes of it is told by the status or the activity.
   */
  ask(content: { request: string } & Record<string, unknown>): void {
    const kernel = this._kernel;
    if (kernel && !kernel.isDisposed) {
      const message =
        KernelMessage.createMessage<KernelMessage.IDebugRequestMsg>({
          // Jupyter knows no such request, and passes it on.
          msgType: REQUEST as 'debug_request',
          channel: 'control',
          session: kernel.clientId,
          username: kernel.username,
          content: content as never
        });
      kernel.sendControlMessage(message, false, true);
    }
  }

  private _take({ content }: KernelMessage.ICommMsgMsg): void {
    if ('activity' in content.data) {
      this._activity = content.data.activity as unknown as IActivity;
      this.changed.emit();
      return;
    }
    const status = content.data as unknown as ISparkStatus;
    this._isReturning =
      status.stage === 'returning' ||
      (this._isReturning && ON_THE_WAY.includes(status.stage));
    const { receipt = null } = status;
    // What was told first is how it was found: that is no news.
    if (this._status && receipt && receipt.at !== this._status.receipt?.at) {
      this._receipt = receipt;
    }
    this._status = status;
    this.changed.emit();
  }

  private _forget(isAsked: boolean): void {
    const isNews = this._status !== null || this._isAsked !== isAsked;
    this._isAsked = isAsked;
    this._kernel = null;
    this._comm = null;
    this._isReturning = false;
    this._activity = null;
    this._status = null;
    if (isNews) {
      this.changed.emit();
    }
  }

  private _kernel: Kernel.IKernelConnection | null = null;
  private _comm: Kernel.IComm | null = null;
  private _status: ISparkStatus | null = null;
  private _receipt: Receipt | null = null;
  private _activity: IActivity | null = null;
  private _isReturning = false;
  private _isAsked = false;
}

/**
 * Say why Spark's UI cannot be opened; null when it can.
 */
export function whyNoUi(
  { status }: Pick<SparkModel, 'status'>,
  trans: TranslationBundle
): string | null {
  if (status?.ui) {
    return null;
  }
  if (status?.stage === 'ready') {
    return trans.__(
      'Spark has no UI here: spark.ui.enabled is false, or Spark runs in a Connect server.'
    );
  }
  return status !== null && ON_THE_WAY.includes(status.stage)
    ? trans.__('Spark is starting, and has no UI yet.')
    : trans.__('Spark does not run in this kernel.');
}
