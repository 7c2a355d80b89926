/**
 * How a flight test is shown, wherever it is.
 */

import type { TranslationBundle } from '@jupyterlab/translation';
import * as React from 'react';
import type { Diagnosis, Flight } from '../api';
import type { IRemedyButton } from '../remedies';
import { CopyButton } from './copy';

type Side = Flight['executors'][number];

/**
 * Gives the button that does something about a diagnosis; null when nothing does.
 */
export type OnRemedy = (diagnosis: Diagnosis) => IRemedyButton | null;

export interface IFlightViewProps {
  flight: Flight;
  trans: TranslationBundle;
  onRemedy?: OnRemedy;
}

/**
 * What came of a flight test: the verdict and its date, what is wrong and what to do, and both sides
 * of Spark beside each other.
 */
export function FlightView(props: IFlightViewProps): JSX.Element {
  const { flight, trans, onRemedy } = props;
  const { passed, diagnoses, stages } = flight;
  return (
    <div className="jp-PySparkKernels-flight" data-passed={passed}>
      <Verdict {...flight} trans={trans} />
      {diagnoses.length > 0 && (
        <Diagnoses
          diagnoses={diagnoses}
          said={flight.verdict}
          trans={trans}
          onRemedy={onRemedy}
        />
      )}
      <Sides flight={flight} trans={trans} />
      {stages.length > 0 && <Stages stages={stages} trans={trans} />}
    </div>
  );
}

/**
 * What a test came to, and when: of one that was just made, or one that is remembered.
 */
export function Verdict(
  props: Pick<Flight, 'passed' | 'verdict' | 'when'> & {
    trans: TranslationBundle;
  }
): JSX.Element {
  const { passed, verdict, when, trans } = props;
  return (
    <div className="jp-PySparkKernels-verdict" data-passed={passed}>
      <p role="status">
        <strong>
          {passed ? trans.__('Test passed.') : trans.__('Test failed.')}
        </strong>{' '}
        {verdict}
      </p>
      <time dateTime={when}>
        {new Date(when).toLocaleString(undefined, {
          dateStyle: 'medium',
          timeStyle: 'short'
        })}
      </time>
    </div>
  );
}

/**
 * Causes, and what can be done about each.
 *
 * @param props.said - a cause that stands above already.
 */
export function Diagnoses(props: {
  diagnoses: readonly Diagnosis[];
  said?: string;
  trans: TranslationBundle;
  onRemedy?: OnRemedy;
}): JSX.Element {
  const { diagnoses, said, trans, onRemedy } = props;
  return (
    <ul className="jp-PySparkKernels-diagnoses">
      {diagnoses.map(diagnosis => {
        const { rule, cause, evidence, fix, command } = diagnosis;
        return (
          <li key={`${rule} ${cause}`} className="jp-PySparkKernels-diagnosis">
            {cause !== said && <p>{cause}</p>}
            <p>{fix}</p>
            {command && (
              <div className="jp-PySparkKernels-command">
                <code
                  tabIndex={0}
                  role="region"
                  aria-label={trans.__('Command')}
                >
                  {command}
                </code>
                <CopyButton text={command} trans={trans} />
              </div>
            )}
            {evidence && (
              <p className="jp-PySparkKernels-description">
                {trans.__('Seen:')} <code>{evidence}</code>
              </p>
            )}
            <RemedyButton button={onRemedy?.(diagnosis) ?? null} />
          </li>
        );
      })}
    </ul>
  );
}

function RemedyButton(props: {
  button: IRemedyButton | null;
}): JSX.Element | null {
  const { button } = props;
  return (
    button && (
      <div className="jp-PySparkKernels-buttons">
        <button
          type="button"
          className="jp-PySparkKernels-button"
          onClick={() => void button.run()}
        >
          {button.label}
        </button>
      </div>
    )
  );
}

/**
 * The driver and its executors, a row each; what an executor has otherwise than the driver stands
 * out.
 */
function Sides(props: {
  flight: Flight;
  trans: TranslationBundle;
}): JSX.Element | null {
  const { flight, trans } = props;
  const { driver, executors } = flight;
  if (!driver) {
    return null;
  }
  const packages = Object.keys(driver.packages);
  return (
    <Scrolled label={trans.__('Driver and executors')}>
      <table className="jp-PySparkKernels-table">
        <thead>
          <tr>
            <th scope="col">{trans.__('Side')}</th>
            <th scope="col">{trans.__('Python')}</th>
            <th scope="col">{trans.__('Java')}</th>
            <th scope="col">{trans.__('Spark')}</th>
            {packages.map(name => (
              <th key={name} scope="col">
                {name}
              </th>
            ))}
            <th scope="col">{trans.__('Way back')}</th>
          </tr>
        </thead>
        <tbody>
          {[driver, ...executors].map((side, index) => (
            <Row
              key={index}
              side={side}
              driver={driver}
              packages={packages}
              title={
                index === 0
                  ? trans.__('Driver')
                  : trans.__('Executor %1', index)
              }
              trans={trans}
            />
          ))}
        </tbody>
      </table>
    </Scrolled>
  );
}

function Row(props: {
  side: Side;
  driver: Side;
  packages: readonly string[];
  title: string;
  trans: TranslationBundle;
}): JSX.Element {
  const { side, driver, packages, title, trans } = props;
  const { host, executable, way_back_seconds: wayBack } = side;
  const none = trans.__('none');
  const cell = (key: string, value: string | null, expected: string | null) => (
    <td key={key} className={value === expected ? '' : 'jp-mod-differs'}>
      {value ?? none}
      {value !== expected && (
        <span className="jp-PySparkKernels-heard">
          {trans.__('(another than the driver’s)')}
        </span>
      )}
    </td>
  );
  return (
    <tr>
      <th scope="row" title={executable}>
        {title}
        <div className="jp-PySparkKernels-description">{host}</div>
      </th>
      {cell('python', side.python, driver.python)}
      {cell('java', side.java, driver.java)}
      {cell('spark', side.spark, driver.spark)}
      {packages.map(name =>
        cell(name, side.packages[name] ?? null, driver.packages[name])
      )}
      <td>{wayBack === null ? '' : secondsText(wayBack, trans)}</td>
    </tr>
  );
}

/**
 * How long each stage took.
 */
function Stages(props: {
  stages: Flight['stages'];
  trans: TranslationBundle;
}): JSX.Element {
  const { stages, trans } = props;
  return (
    <table className="jp-PySparkKernels-table">
      <thead>
        <tr>
          <th scope="col">{trans.__('Stage')}</th>
          <th scope="col">{trans.__('Time')}</th>
        </tr>
      </thead>
      <tbody>
        {stages.map(({ name, seconds }) => (
          <tr key={name}>
            <th scope="row">{name}</th>
            <td>{secondsText(seconds, trans)}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

/**
 * What may be wider than there is room. By the keyboard it is moved when it has the focus.
 */
export function Scrolled(props: {
  label: string;
  children: React.ReactNode;
}): JSX.Element {
  return (
    <div
      className="jp-PySparkKernels-wide"
      role="region"
      aria-label={props.label}
      tabIndex={0}
    >
      {props.children}
    </div>
  );
}

/**
 * Write a time as a person reads it: what is quick in milliseconds.
 */
function secondsText(seconds: number, trans: TranslationBundle): string {
  const isQuick = seconds < 1;
  const value = isQuick ? seconds * 1000 : seconds;
  const digits = isQuick ? 0 : 1;
  const text = value.toLocaleString(undefined, {
    maximumFractionDigits: digits
  });
  return isQuick ? trans.__('%1 ms', text) : trans.__('%1 s', text);
}
