/**
 * What is shown of one kernel: its causes of trouble, its test, its files.
 */

import { VDomModel, VDomRenderer } from '@jupyterlab/ui-components';
import * as React from 'react';
import type {
  Diagnosis,
  Export,
  ExportFormat,
  Kernel,
  KernelAddress
} from '../api';
import { explain } from '../explain';
import { CopyButton } from '../flight/copy';
import { Diagnoses, FlightView } from '../flight/view';
import { changeOf, ReceiptView, resize } from '../receipt';
import { type IRemedyButton, remedyButton } from '../remedies';
import { TaskModel } from '../tasks/model';
import { shownTasks } from '../tasks/shown';
import { TaskView, useTaskView } from '../tasks/view';
import { ViewDialog } from '../tasks/viewdialog';
import type { IManagerServices } from './model';
import { marksOf } from './rows';

/**
 * Show why a kernel has no Spark, and what to do.
 */
export async function showDoctor(
  services: IManagerServices,
  { place, name }: KernelAddress
): Promise<void> {
  const { api, trans } = services;
  const [kernel, diagnoses] = await Promise.all([
    api.kernel(place, name),
    api.doctor(place, name)
  ]);
  await show(
    services,
    kernel,
    trans.__('Diagnosis of “%1”', kernel.display_name),
    onRemedy => <Doctor {...{ kernel, diagnoses, onRemedy }} trans={trans} />
  );
}

/**
 * Show what the last Spark of a kernel has used, and offer a size that fits.
 */
export async function showReceipt(
  services: Pick<IManagerServices, 'api' | 'commands' | 'trans'>,
  kernel: Kernel
): Promise<void> {
  const { api, commands, trans } = services;
  const found = await api.receipt(kernel.place, kernel.name);
  const { receipt, suggestion } = found;
  const { changes, remarks } = suggestion;
  let resizes = false;
  const view = new DrawnView(() => (
    <div className="jp-PySparkKernels-receipt">
      {receipt && <ReceiptView receipt={receipt} trans={trans} />}
      {remarks.map(({ field, message }) => (
        <p key={field + message}>
          {field in changes && (
            <>
              <strong>{changeOf(field, changes[field], trans)}</strong>{' '}
            </>
          )}
          <span>{message}</span>
        </p>
      ))}
      {Object.keys(changes).length > 0 && (
        <button
          type="button"
          className="jp-PySparkKernels-button"
          onClick={() => {
            resizes = true;
            dialog.reject();
          }}
        >
          {trans.__('Resize to What You Used…')}
        </button>
      )}
    </div>
  ));
  const title = trans.__('Last Receipt of “%1”', kernel.display_name);
  const dialog = new ViewDialog(title, trans, view);
  await dialog.launch();
  // JupyterLab opens one dialog at a time.
  if (resizes) {
    await resize(commands, kernel, changes, trans);
  }
}

/**
 * Test a kernel, and show what comes of it.
 */
export async function showTest(
  services: IManagerServices,
  { place, name }: KernelAddress
): Promise<void> {
  const { api } = services;
  const kernel = await api.kernel(place, name);
  const model = await shownTasks.during(
    async () => new TaskModel(services, await api.test(place, name))
  );
  await showFlight(services, kernel, model);
  model.dispose();
}

/**
 * Show a test that runs, or has ended. The caller keeps the model.
 */
export function showFlight(
  services: IManagerServices,
  kernel: Kernel,
  model: TaskModel
): Promise<void> {
  const { trans } = services;
  return show(
    services,
    kernel,
    trans.__('Test of “%1”', kernel.display_name),
    onRemedy => <Test {...{ model, trans, onRemedy }} />
  );
}

type Remedies = (diagnosis: Diagnosis) => IRemedyButton | null;

/**
 * Show something of a kernel. JupyterLab opens one dialog at a time, so a remedy closes this one.
 */
async function show(
  services: IManagerServices,
  kernel: Kernel,
  title: string,
  draw: (onRemedy: Remedies) => JSX.Element
): Promise<void> {
  let remedy: IRemedyButton | null = null;
  const onRemedy: Remedies = diagnosis => {
    const button = remedyButton(diagnosis, kernel, services);
    const run = async (): Promise<void> => {
      remedy = button;
      dialog.reject();
    };
    return button && { label: button.label, run };
  };
  const view = new DrawnView(() => draw(onRemedy));
  const dialog = new ViewDialog(title, services.trans, view);
  await dialog.launch();
  await (remedy as IRemedyButton | null)?.run();
}

class DrawnView extends VDomRenderer<VDomModel> {
  constructor(private readonly _draw: () => JSX.Element) {
    super(new VDomModel());
  }

  protected render(): JSX.Element {
    return <div className="jp-PySparkKernels-scroll">{this._draw()}</div>;
  }
}

function Doctor(props: {
  kernel: Kernel;
  diagnoses: readonly Diagnosis[];
  trans: IManagerServices['trans'];
  onRemedy: Remedies;
}): JSX.Element {
  const { kernel, diagnoses, trans, onRemedy } = props;
  // What breaks it is the first of the causes, if there are some.
  const marks = marksOf(kernel, trans).filter(
    ({ id }) => id !== 'broken' || diagnoses.length === 0
  );
  return (
    <>
      {marks.map(({ id, label, reason }) => (
        <p key={id} className="jp-PySparkKernels-unusable">
          <strong>{label}</strong> {reason}
        </p>
      ))}
      {diagnoses.length === 0 && (
        <p>
          {marks.length === 0
            ? trans.__(
                'Nothing is known to be wrong. Test the kernel to be sure: that starts it with all its executors.'
              )
            : trans.__('Nothing else is known to be wrong.')}
        </p>
      )}
      <Diagnoses {...{ diagnoses, trans, onRemedy }} />
    </>
  );
}

function Test(props: {
  model: TaskModel;
  trans: IManagerServices['trans'];
  onRemedy: Remedies;
}): JSX.Element {
  const { model, trans, onRemedy } = props;
  const { flight } = useTaskView(model).task;
  return (
    <>
      <TaskView model={model} trans={trans} />
      {flight && <FlightView {...{ flight, trans, onRemedy }} />}
    </>
  );
}

/**
 * Show a kernel as a file that others can read, to be copied or kept.
 */
export async function showExport(
  services: IManagerServices,
  kernel: Kernel
): Promise<void> {
  const { trans } = services;
  const title = trans.__('Export “%1”', kernel.display_name);
  const model = new ExportModel(services, kernel);
  await model.choose('kernel');
  await new ViewDialog(title, trans, new ExportView(model)).launch();
}

class ExportModel extends VDomModel {
  constructor(
    readonly services: IManagerServices,
    private readonly _kernel: Kernel
  ) {
    super();
  }

  get format(): ExportFormat {
    return this._format;
  }

  /** The file; null when there is none. */
  get file(): Export | null {
    return this._file;
  }

  get problem(): string {
    return this._problem;
  }

  async choose(format: ExportFormat): Promise<void> {
    const { api, trans } = this.services;
    const { place, name } = this._kernel;
    this._format = format;
    let file: Export | null = null;
    let problem = '';
    try {
      file = await api.export(place, name, format);
    } catch (error) {
      problem = explain(error, trans);
    }
    // Another one may have been chosen meanwhile.
    if (this._format === format && !this.isDisposed) {
      this._file = file;
      this._problem = problem;
      this.stateChanged.emit();
    }
  }

  private _format: ExportFormat = 'kernel';
  private _file: Export | null = null;
  private _problem = '';
}

class ExportView extends VDomRenderer<ExportModel> {
  protected render(): JSX.Element {
    return <ExportForm model={this.model} />;
  }
}

function ExportForm({ model }: { model: ExportModel }): JSX.Element {
  const { format, file, problem, services } = model;
  const { trans } = services;
  const id = React.useId();
  const labels: Record<ExportFormat, string> = {
    kernel: trans.__('Kernel file — to be imported elsewhere'),
    'spark-submit': trans.__('spark-submit line'),
    'spark-defaults': trans.__('spark-defaults.conf')
  };
  return (
    <>
      <div className="jp-PySparkKernels-field">
        <label htmlFor={id}>{trans.__('As')}</label>
        <select
          id={id}
          className="jp-PySparkKernels-input"
          value={format}
          onChange={({ target }) =>
            void model.choose(target.value as ExportFormat)
          }
        >
          {Object.entries(labels).map(([value, label]) => (
            <option key={value} value={value}>
              {label}
            </option>
          ))}
        </select>
      </div>
      <div className="jp-PySparkKernels-error" role="alert">
        {problem && <p>{problem}</p>}
      </div>
      {file && (
        <>
          <div className="jp-PySparkKernels-advice" role="status">
            {file.remarks.map(({ field, message }) => (
              <p key={field + message}>{message}</p>
            ))}
          </div>
          <pre
            className="jp-PySparkKernels-exported"
            tabIndex={0}
            role="region"
            aria-label={file.filename}
          >
            {file.text}
          </pre>
          <div className="jp-PySparkKernels-buttons">
            <CopyButton
              text={file.text}
              label={trans.__('Copy %1', file.filename)}
              trans={trans}
            />
            <button
              type="button"
              className="jp-PySparkKernels-button"
              onClick={() => download(file)}
            >
              {trans.__('Download %1', file.filename)}
            </button>
          </div>
        </>
      )}
    </>
  );
}

function download({ filename, text }: Export): void {
  const link = document.createElement('a');
  link.href = URL.createObjectURL(new Blob([text], { type: 'text/plain' }));
  link.download = filename;
  link.click();
  URL.revokeObjectURL(link.href);
}
