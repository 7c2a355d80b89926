import { Widget } from '@lumino/widgets';
import type { SparkModel } from './spark';

/**
 * How often what only counts on is shown anew: more could not be read.
 */
const PACE_MS = 500;

/**
 * Shows how Spark is. It asks nothing, and shows nothing while nobody can see it.
 *
 * It stays shown itself, so that it hears when what it lies in is shown; what it shows is inside.
 */
export abstract class SparkView extends Widget {
  constructor() {
    super();
    document.addEventListener('visibilitychange', this._onVisibility);
  }

  dispose(): void {
    if (!this.isDisposed) {
      this.model = null;
      document.removeEventListener('visibilitychange', this._onVisibility);
      super.dispose();
    }
  }

  /**
   * The Spark that is shown; null when there is none.
   */
  get model(): SparkModel | null {
    return this._model;
  }

  set model(model: SparkModel | null) {
    this._model?.changed.disconnect(this._onChanged, this);
    this._model = model;
    model?.changed.connect(this._onChanged, this);
    this._onChanged();
  }

  /**
   * Show how it is now.
   */
  protected abstract render(): void;

  /**
   * Whether more has changed than a number.
   */
  protected abstract isNews(): boolean;

  protected onAfterAttach(): void {
    this._show();
  }

  protected onAfterShow(): void {
    this._show();
  }

  protected onBeforeDetach(): void {
    this._stopTimer();
  }

  private readonly _onVisibility = (): void => this._show();

  private _onChanged(): void {
    if (this.isNews()) {
      this._show();
    } else if (this._timer === null) {
      this._timer = window.setTimeout(() => this._show(), PACE_MS);
    }
  }

  private _show(): void {
    this._stopTimer();
    if (this.isVisible && document.visibilityState === 'visible') {
      this.render();
    }
  }

  private _stopTimer(): void {
    if (this._timer !== null) {
      window.clearTimeout(this._timer);
      this._timer = null;
    }
  }

  private _model: SparkModel | null = null;
  private _timer: number | null = null;
}
