/**
 * All that is known of the Spark of a notebook, beside the button that shows how it is. It is
 * loaded when somebody wants to see it.
 */

import type { JupyterFrontEnd } from '@jupyterlab/application';
import type { TranslationBundle } from '@jupyterlab/translation';
import { ReactWidget } from '@jupyterlab/ui-components';
import { Widget } from '@lumino/widgets';
import * as React from 'react';
import '../../style/base.css';
import '../../style/details.css';
import { Api } from '../api';
import { explain } from '../explain';
import { type IRemedyButton, remedyButton } from '../remedies';
import type { ITasks } from './activity';
import { factsOf, indicationOf, runningText } from './indication';
import type { SparkModel } from './spark';

const TEST = 'pyspark-kernels:test';
const SPARK_UI = 'pyspark-kernels:spark-ui';

/**
 * How far the details are from their button, and from the window's edges.
 */
const GAP = 4;

export interface IDetailsOptions {
  app: JupyterFrontEnd;
  model: SparkModel;
  trans: TranslationBundle;
  /** The button that opened it. */
  opener: HTMLElement;
  /** The id of the notebook's panel. */
  notebook: string;
  /** The name of the notebook's kernel. */
  kernel: string;
}

/**
 * Show the details, or no longer when they are shown.
 */
export function toggleDetails(options: IDetailsOptions): void {
  const { opener } = options;
  const isOpen = shown?.opener === opener;
  shown?.dispose();
  if (!isOpen) {
    shown = new Details(options);
    Widget.attach(shown, document.body);
  }
}

let shown: Details | null = null;

/**
 * What lies over the page until Escape, or until something else is of interest.
 */
class Details extends ReactWidget {
  constructor(private readonly _options: IDetailsOptions) {
    super();
    this.addClass('jp-PySparkKernels-details');
    this.addClass('jp-ThemedContainer');
    this.node.setAttribute('role', 'dialog');
    const label = _options.trans.__('Spark of this notebook');
    this.node.setAttribute('aria-label', label);
    this.node.tabIndex = -1;
    _options.model.changed.connect(this._onChanged, this);
  }

  get opener(): HTMLElement {
    return this._options.opener;
  }

  dispose(): void {
    if (this.isDisposed) {
      return;
    }
    const hadFocus = this.node.contains(document.activeElement);
    this._options.model.changed.disconnect(this._onChanged, this);
    this.opener.setAttribute('aria-expanded', 'false');
    shown = null;
    super.dispose();
    if (hadFocus) {
      this.opener.focus();
    }
  }

  handleEvent(event: Event): void {
    if (event.type === 'keydown') {
      if ((event as KeyboardEvent).key === 'Escape') {
        event.preventDefault();
        event.stopPropagation();
        this.dispose();
      }
    } else if (event.type === 'resize') {
      this._place();
    } else if (!this._holds(this._wanted(event))) {
      this.dispose();
    }
  }

  protected render(): JSX.Element {
    return (
      <DetailsView
        {...this._options}
        onDone={() => this.dispose()}
        onRendered={() => this._place()}
      />
    );
  }

  protected onAfterAttach(): void {
    this.node.addEventListener('keydown', this);
    this.node.addEventListener('focusout', this);
    document.addEventListener('pointerdown', this, true);
    window.addEventListener('resize', this);
    this.opener.setAttribute('aria-expanded', 'true');
    this._place();
    this.node.focus();
    this.update();
  }

  protected onBeforeDetach(): void {
    document.removeEventListener('pointerdown', this, true);
    window.removeEventListener('resize', this);
  }

  private _onChanged(): void {
    if (this._options.model.status === null) {
      this.dispose();
    } else {
      this.update();
    }
  }

  /**
   * Give what gets the focus, or is pressed.
   */
  private _wanted(event: Event): EventTarget | null {
    return event.type === 'focusout'
      ? (event as FocusEvent).relatedTarget
      : event.target;
  }

  private _holds(target: EventTarget | null): boolean {
    // Nothing gets the focus when the window loses it, or when a button vanishes.
    return (
      target === null ||
      this.node.contains(target as Node) ||
      this.opener.contains(target as Node)
    );
  }

  /**
   * Lie below the button where there is room, and above it otherwise.
   */
  private _place(): void {
    const { top, bottom, left } = this.opener.getBoundingClientRect();
    const { style, offsetHeight, offsetWidth } = this.node;
    const below = bottom + GAP;
    const isBelow = below + offsetHeight + GAP <= window.innerHeight;
    const above = Math.max(GAP, top - GAP - offsetHeight);
    const right = window.innerWidth - offsetWidth - GAP;
    style.top = `${isBelow ? below : above}px`;
    style.left = `${Math.max(GAP, Math.min(left, right))}px`;
  }
}

interface IViewProps extends IDetailsOptions {
  onDone: () => void;
  onRendered: () => void;
}

function DetailsView(props: IViewProps): JSX.Element | null {
  const { app, model, trans, notebook, onDone, onRendered } = props;
  const { commands } = app;
  const { status, activity } = model;
  const said = indicationOf(model, trans);
  React.useLayoutEffect(onRendered);
  if (!status || !said) {
    return null;
  }
  const isFailed = status.stage === 'failed';
  const running = said.kind === 'running' ? activity?.running : null;
  const args = { notebook };
  return (
    <>
      <h2 data-kind={said.kind}>
        <span className="jp-PySparkKernels-sign" aria-hidden="true" />
        {isFailed ? trans.__('Spark failed') : said.caption}
      </h2>
      {isFailed && (
        <div>
          <p>{status.cause}</p>
          {status.fix && <p>{status.fix}</p>}
        </div>
      )}
      {running && (
        <Bar tasks={running.tasks} label={runningText(running, trans)} />
      )}
      <dl>
        {factsOf(status, trans).map(([name, value]) => (
          <React.Fragment key={name}>
            <dt>{name}</dt>
            <dd>{value}</dd>
          </React.Fragment>
        ))}
      </dl>
      <div className="jp-PySparkKernels-buttons">
        {isFailed ? (
          <Remedies {...props} cause={status.cause ?? ''} />
        ) : (
          <button
            type="button"
            className="jp-PySparkKernels-button"
            aria-disabled={!commands.isEnabled(SPARK_UI, args)}
            title={commands.caption(SPARK_UI, args)}
            onClick={() => {
              if (commands.isEnabled(SPARK_UI, args)) {
                onDone();
                void commands.execute(SPARK_UI, args);
              }
            }}
          >
            {commands.label(SPARK_UI, args)}
          </button>
        )}
      </div>
    </>
  );
}

/**
 * How many tasks are done, and of how many. It says nothing by itself: the words stand above.
 */
function Bar({ tasks, label }: { tasks: ITasks; label: string }): JSX.Element {
  return (
    <progress aria-label={label} max={tasks.all || 1} value={tasks.done} />
  );
}

/**
 * What can be done about a failure. The server is asked, as the doctor knows more than the kernel.
 */
function Remedies({
  app,
  kernel: name,
  cause,
  trans,
  onDone,
  onRendered
}: IViewProps & { cause: string }): JSX.Element {
  const [buttons, setButtons] = React.useState<IRemedyButton[] | null>(null);
  const [problem, setProblem] = React.useState('');
  React.useEffect(() => {
    let isWanted = true;
    remediesOf(app, name, cause, trans).then(
      found => isWanted && setButtons(found),
      error => isWanted && setProblem(explain(error, trans))
    );
    return () => {
      isWanted = false;
    };
  }, [name, cause]);
  React.useLayoutEffect(onRendered, [buttons, problem]);
  if (problem) {
    return <p>{problem}</p>;
  }
  if (buttons === null) {
    return <p>{trans.__('Looking for what helps…')}</p>;
  }
  return (
    <>
      {buttons.map(({ label, run }) => (
        <button
          key={label}
          type="button"
          className="jp-PySparkKernels-button"
          onClick={() => {
            onDone();
            void run();
          }}
        >
          {label}
        </button>
      ))}
    </>
  );
}

/**
 * Find what to do about a failure of a kernel: what is known to help, and a test.
 */
async function remediesOf(
  app: JupyterFrontEnd,
  name: string,
  cause: string,
  trans: TranslationBundle
): Promise<IRemedyButton[]> {
  const { commands, serviceManager } = app;
  const api = new Api(serviceManager.serverSettings);
  const kernels = await api.kernels();
  const kernel = kernels.find(
    ({ name: other, hidden_by: hider }) => other === name && hider === null
  );
  if (!kernel) {
    return [];
  }
  const found = await api.doctor(kernel.place, name);
  // Another notebook of this kernel may have failed by something else since.
  const same = found.find(diagnosis => diagnosis.cause === cause);
  const remedy =
    same && same.remedy !== 'test'
      ? remedyButton(same, kernel, { api, commands, trans })
      : null;
  const { place } = kernel;
  const test = {
    label: trans.__('Test This Kernel'),
    run: () => commands.execute(TEST, { place, name })
  };
  return [
    ...(remedy ? [remedy] : []),
    ...(commands.hasCommand(TEST) ? [test] : [])
  ];
}
