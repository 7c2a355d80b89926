import type { TranslationBundle } from '@jupyterlab/translation';
import * as React from 'react';
import type { ClusterReport } from '../api';
import { bytesText } from '../tasks/texts';
import type { IFiguresView } from './figures';

const MIB = 1024 ** 2;

/**
 * What one executor takes of the cluster and how many fit, in a sentence that unfolds to the
 * figures. It keeps its place while nothing is known, so that nothing below moves.
 */
export function ClusterFigures(props: {
  figures: IFiguresView;
  /** Whether a field is folded away, so that what is said of it would be as well. */
  isAdvanced: (field: string) => boolean;
  trans: TranslationBundle;
}): JSX.Element {
  const { figures, isAdvanced, trans } = props;
  const { report, note, isStale } = figures;
  const hints = (report?.fit?.advice ?? []).filter(
    ({ field }) => field === '' || isAdvanced(field)
  );
  return (
    <div
      className="jp-PySparkKernels-figures"
      data-stale={isStale}
      data-never={report?.fit?.ever === false}
    >
      <div role="status">
        {report && isAboutCluster(report) && (
          <Summary report={report} trans={trans} />
        )}
        {hints.map(({ message }) => (
          <p key={message}>{trans.__('Hint: %1', message)}</p>
        ))}
        {note && <p className="jp-PySparkKernels-description">{note}</p>}
      </div>
    </div>
  );
}

/**
 * Whether there is a cluster at all: a local master has no executors, and nothing to say of them.
 */
function isAboutCluster({ demand, capacity, problem }: ClusterReport): boolean {
  return demand !== null || capacity !== null || problem !== null;
}

function Summary(props: {
  report: ClusterReport;
  trans: TranslationBundle;
}): JSX.Element {
  const { report, trans } = props;
  const { summary, capacity, problem } = report;
  return (
    <details>
      <summary>
        {summary} {problem && trans.__('The cluster did not answer.')}
      </summary>
      {problem && <p>{problem}</p>}
      {capacity && <Capacity capacity={capacity} trans={trans} />}
    </details>
  );
}

function Capacity(props: {
  capacity: NonNullable<ClusterReport['capacity']>;
  trans: TranslationBundle;
}): JSX.Element {
  const { capacity, trans } = props;
  const { largest_node: largest, queues } = capacity;
  const number = (value: number): string => value.toLocaleString();
  const memory = (mib: number): string => bytesText(mib * MIB);
  const rows: [string, string][] = [
    [trans.__('Nodes'), number(capacity.node_count)],
    [
      trans.__('Free cores'),
      trans.__(
        '%1 of %2',
        number(capacity.cores_free),
        number(capacity.cores_total)
      )
    ],
    [
      trans.__('Free memory'),
      trans.__(
        '%1 of %2',
        memory(capacity.memory_free_mib),
        memory(capacity.memory_total_mib)
      )
    ]
  ];
  if (largest) {
    rows.push([
      trans.__('Largest free node'),
      trans.__(
        '%1 and %2 cores',
        memory(largest.memory_free_mib),
        number(largest.cores_free)
      )
    ]);
  }
  rows.push([
    capacity.kind === 'kubernetes'
      ? trans.__('Pods that wait')
      : trans.__('Applications that wait'),
    number(capacity.waiting)
  ]);
  return (
    <table className="jp-PySparkKernels-table">
      <tbody>
        {rows.map(([title, text]) => (
          <tr key={title}>
            <th scope="row">{title}</th>
            <td>{text}</td>
          </tr>
        ))}
        {queues.map(queue => (
          <tr key={`queue ${queue.name}`}>
            <th scope="row">{trans.__('Queue %1', queue.name)}</th>
            <td>
              {[
                queue.open ? '' : trans.__('takes no applications'),
                queue.memory_free_mib === null
                  ? trans.__('no limit')
                  : trans.__('%1 free', memory(queue.memory_free_mib)),
                trans.__('%1 waiting', number(queue.waiting))
              ]
                .filter(Boolean)
                .join(', ')}
            </td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}
