/**
 * What counts of a kernel's configuration in the end, and where each value comes from.
 */

import type { TranslationBundle } from '@jupyterlab/translation';
import { VDomModel, VDomRenderer } from '@jupyterlab/ui-components';
import * as React from 'react';
import {
  ApiError,
  type Effective,
  type EffectiveRow,
  type KernelConfig
} from './api';
import { explain } from './explain';
import type { ITaskServices } from './tasks/model';
import { ViewDialog } from './tasks/viewdialog';

type Load = (everything: boolean) => Promise<Effective>;

/**
 * Show the effective configuration of a kernel.
 */
export async function showEffective(
  { api, trans }: ITaskServices,
  config: KernelConfig
): Promise<void> {
  const load: Load = everything => api.effective(config, everything);
  // Refused at once, or shown.
  const first = await load(false);
  const title = trans.__(
    'Effective Configuration of “%1”',
    config.display_name ?? config.name ?? ''
  );
  const view = new EffectiveView(new EffectiveModel(load, first, trans));
  await new ViewDialog(title, trans, view).launch();
}

class EffectiveModel extends VDomModel {
  constructor(
    readonly load: Load,
    readonly first: Effective,
    readonly trans: TranslationBundle
  ) {
    super();
  }
}

class EffectiveView extends VDomRenderer<EffectiveModel> {
  protected render(): JSX.Element {
    const { load, first, trans } = this.model;
    return (
      <div className="jp-PySparkKernels-scroll">
        <EffectiveTable load={load} first={first} revision={0} trans={trans} />
      </div>
    );
  }
}

/**
 * The settings of a kernel as a table that can be searched.
 */
export function EffectiveTable(props: {
  load: Load;
  /** What is shown before anything is loaded. */
  first?: Effective;
  /** The table is loaded anew when this changes. */
  revision: unknown;
  trans: TranslationBundle;
}): JSX.Element {
  const { load, first, revision, trans } = props;
  const [found, setFound] = React.useState<Effective | null>(first ?? null);
  const [problem, setProblem] = React.useState('');
  const [everything, setEverything] = React.useState(false);
  const [search, setSearch] = React.useState('');
  React.useEffect(() => {
    let isLatest = true;
    load(everything)
      .then(effective => {
        if (isLatest) {
          setFound(effective);
          setProblem('');
        }
      })
      .catch(error => {
        if (isLatest) {
          const isOurs = error instanceof ApiError && error.errors.length > 0;
          setProblem(isOurs ? error.message : explain(error, trans));
        }
      });
    return () => {
      isLatest = false;
    };
    // What loads is the same always.
  }, [everything, revision]);
  const words = search.toLowerCase().split(/\s+/).filter(Boolean);
  const rows = (found?.rows ?? []).filter(({ key, value, place }) =>
    words.every(word => `${key} ${value} ${place}`.toLowerCase().includes(word))
  );
  return (
    <div className="jp-PySparkKernels-effective">
      <div className="jp-PySparkKernels-filter">
        <input
          type="search"
          className="jp-PySparkKernels-input"
          aria-label={trans.__('Search the settings')}
          placeholder={trans.__('Search the settings')}
          value={search}
          onChange={({ target }) => setSearch(target.value)}
        />
        {found?.spark_version && (
          <label className="jp-PySparkKernels-check">
            <input
              type="checkbox"
              checked={everything}
              onChange={({ target }) => setEverything(target.checked)}
            />
            {trans.__('Also what only Spark’s default sets')}
          </label>
        )}
      </div>
      {problem && (
        <div className="jp-PySparkKernels-error" role="alert">
          <p>{problem}</p>
        </div>
      )}
      {found && (
        <>
          <p className="jp-PySparkKernels-heard" role="status">
            {trans._n('%1 setting.', '%1 settings.', rows.length)}
          </p>
          <div className="jp-PySparkKernels-advice">
            {found.remarks.map(({ message }) => (
              <p key={message}>{message}</p>
            ))}
          </div>
          <table className="jp-PySparkKernels-table jp-PySparkKernels-settingsTable">
            <thead>
              <tr>
                <th scope="col">{trans.__('Setting')}</th>
                <th scope="col">{trans.__('Value')}</th>
                <th scope="col">{trans.__('Set by')}</th>
                <th scope="col">{trans.__('Spark’s default')}</th>
              </tr>
            </thead>
            <tbody>
              {rows.map(row => (
                <Row key={row.key} row={row} trans={trans} />
              ))}
            </tbody>
          </table>
          {found.spark_version === null && (
            <p className="jp-PySparkKernels-description">
              {trans.__(
                'Spark’s defaults are shown once its settings were read: put the cursor into the field “Spark settings” of the form.'
              )}
            </p>
          )}
        </>
      )}
    </div>
  );
}

function Row(props: {
  row: EffectiveRow;
  trans: TranslationBundle;
}): JSX.Element {
  const { row, trans } = props;
  const { key, value, origin, place, overridden, help } = row;
  const isDefault = row.default === null || row.default === value;
  return (
    <tr>
      <th scope="row" title={help ?? undefined}>
        <Key text={key} />
      </th>
      <td>
        {value}
        {overridden.map(other => (
          <div
            key={`${other.origin} ${other.place}`}
            className="jp-PySparkKernels-description"
          >
            {trans.__('instead of %1 (%2)', other.value, other.place)}
          </div>
        ))}
      </td>
      <td>
        {originText(origin, trans)}
        {place !== origin && (
          <div className="jp-PySparkKernels-description">{place}</div>
        )}
      </td>
      <td>
        {isDefault && row.default !== null ? trans.__('the same') : row.default}
      </td>
    </tr>
  );
}

/**
 * A key that is broken behind its dots where it is too long for a line.
 */
function Key({ text }: { text: string }): JSX.Element {
  return (
    <>
      {text.split('.').map((part, index) => (
        <React.Fragment key={index}>
          {index > 0 && (
            <>
              .<wbr />
            </>
          )}
          {part}
        </React.Fragment>
      ))}
    </>
  );
}

function originText(
  origin: EffectiveRow['origin'],
  trans: TranslationBundle
): string {
  switch (origin) {
    case 'form':
      return trans.__('this form');
    case 'template':
      return trans.__('the template');
    case 'launcher':
      return trans.__('the launcher');
    case 'environment':
      return trans.__('the environment');
    case 'spark':
      return trans.__('Spark');
    default:
      return origin;
  }
}
