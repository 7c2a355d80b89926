/**
 * The dialog that shows two kernels side by side. It is loaded when it is first opened.
 */

import { VDomModel, VDomRenderer } from '@jupyterlab/ui-components';
import type { TranslationBundle } from '@jupyterlab/translation';
import * as React from 'react';
import type { Comparison } from './api';
import type { ITaskServices } from './tasks/model';
import { ViewDialog } from './tasks/viewdialog';

/**
 * Where a kernel lies, and what people call it.
 */
export interface IComparedKernel {
  place: string;
  name: string;
  display_name: string;
}

/**
 * Show what tells two kernels apart.
 */
export async function showComparison(
  { api, trans }: ITaskServices,
  left: IComparedKernel,
  right: IComparedKernel
): Promise<void> {
  const [comparison, form] = await Promise.all([
    api.compare(left, right),
    api.form()
  ]);
  const fields = form.schema.properties as Record<string, { title?: string }>;
  const model = new ComparisonModel(trans, left, right, comparison, fields);
  const title = trans.__('Compare PySpark Kernels');
  await new ViewDialog(title, trans, new ComparisonView(model)).launch();
}

class ComparisonModel extends VDomModel {
  constructor(
    readonly trans: TranslationBundle,
    readonly left: IComparedKernel,
    readonly right: IComparedKernel,
    readonly comparison: Comparison,
    readonly fields: Readonly<Record<string, { title?: string }>>
  ) {
    super();
  }
}

class ComparisonView extends VDomRenderer<ComparisonModel> {
  protected render(): JSX.Element {
    return <ComparisonTable model={this.model} />;
  }
}

function ComparisonTable({ model }: { model: ComparisonModel }): JSX.Element {
  const { trans, left, right, comparison, fields } = model;
  const [showsSame, setShowsSame] = React.useState(false);
  const rows = comparison.rows.filter(({ same }) => showsSame || !same);
  return (
    <div className="jp-PySparkKernels-scroll">
      <label className="jp-PySparkKernels-check">
        <input
          type="checkbox"
          checked={showsSame}
          onChange={({ target }) => setShowsSame(target.checked)}
        />
        {trans.__('Also what is the same')}
      </label>
      {rows.length === 0 ? (
        <p role="status">{trans.__('Both kernels are the same.')}</p>
      ) : (
        <table className="jp-PySparkKernels-table jp-PySparkKernels-settingsTable">
          <thead>
            <tr>
              <th scope="col">{trans.__('Field')}</th>
              <th scope="col">{left.display_name}</th>
              <th scope="col">{right.display_name}</th>
            </tr>
          </thead>
          <tbody>
            {rows.map(row => (
              <tr key={row.field} className={row.same ? 'jp-mod-same' : ''}>
                <th scope="row">{fields[row.field]?.title ?? row.field}</th>
                <Value text={row.left} trans={trans} />
                <Value text={row.right} trans={trans} />
              </tr>
            ))}
          </tbody>
        </table>
      )}
    </div>
  );
}

function Value(props: {
  text: string | null;
  trans: TranslationBundle;
}): JSX.Element {
  const { text, trans } = props;
  return (
    <td>
      {text ?? (
        <span className="jp-PySparkKernels-description">
          {trans.__('not set')}
        </span>
      )}
    </td>
  );
}
