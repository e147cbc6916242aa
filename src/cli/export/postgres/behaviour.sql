-- What the server does when rows change, as triggers. They are made after the rows are in, which come as they are.

-- Whether an account asks, or a client without one: what the server does itself, and the role that serves, may do more.
CREATE FUNCTION playhouse.is_account() RETURNS boolean LANGUAGE sql STABLE SET search_path = '' AS
  $f$ SELECT current_user IN ('anon', 'authenticated') $f$;

CREATE FUNCTION playhouse.is_privileged() RETURNS boolean LANGUAGE sql STABLE SET search_path = '' AS
  $f$ SELECT NOT playhouse.is_account() OR playhouse.is_admin() $f$;

-- updated_at says when a row was changed last.
CREATE FUNCTION playhouse.touch() RETURNS trigger LANGUAGE plpgsql SET search_path = '' AS $f$
BEGIN
  NEW.updated_at := now();
  RETURN NEW;
END $f$;

-- Columns that accounts do not write: the first argument says whether administrators do, the second has what a new row
-- begins with.
CREATE FUNCTION playhouse.guard_columns() RETURNS trigger LANGUAGE plpgsql SET search_path = '' AS $f$
DECLARE guarded text;
BEGIN
  IF NOT playhouse.is_account() OR TG_ARGV[0] = 'admin' AND playhouse.is_admin() THEN
    RETURN NEW;
  END IF;
  IF TG_OP = 'INSERT' THEN
    RETURN jsonb_populate_record(NEW, TG_ARGV[1]::jsonb);
  END IF;
  FOR guarded IN SELECT jsonb_object_keys(TG_ARGV[1]::jsonb) LOOP
    IF to_jsonb(NEW) -> guarded IS DISTINCT FROM to_jsonb(OLD) -> guarded THEN
      RAISE insufficient_privilege USING MESSAGE = format('permission denied for column %s of %s', guarded, TG_TABLE_NAME);
    END IF;
  END LOOP;
  RETURN NEW;
END $f$;

-- A row names no row that its author may not read. Arguments: column, table, its column, type, constraint; and so on.
CREATE FUNCTION playhouse.own_references() RETURNS trigger LANGUAGE plpgsql SET search_path = '' AS $f$
DECLARE
  place integer := 0;
  named text;
  is_seen boolean;
BEGIN
  IF auth.uid() IS NULL OR playhouse.is_privileged() THEN
    RETURN NULL;
  END IF;
  WHILE place < TG_NARGS LOOP
    named := to_jsonb(NEW) ->> TG_ARGV[place];
    IF named IS NOT NULL AND (TG_OP = 'INSERT' OR to_jsonb(OLD) ->> TG_ARGV[place] IS DISTINCT FROM named) THEN
      EXECUTE format('SELECT EXISTS (SELECT 1 FROM public.%I WHERE %I = $1::%s)', TG_ARGV[place + 1], TG_ARGV[place + 2],
        TG_ARGV[place + 3]) INTO is_seen USING named;
      IF NOT is_seen THEN
        RAISE foreign_key_violation USING
          MESSAGE = format('insert or update on table "%s" violates foreign key constraint "%s"', TG_TABLE_NAME,
            TG_ARGV[place + 4]),
          DETAIL = format('Key (%s)=(%s) is not present in table "%s".', TG_ARGV[place], named, TG_ARGV[place + 1]),
          CONSTRAINT = TG_ARGV[place + 4];
      END IF;
    END IF;
    place := place + 5;
  END LOOP;
  RETURN NULL;
END $f$;

-- A new account has a profile and the role basic_user.
CREATE FUNCTION playhouse.new_account() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $f$
DECLARE
  base text := left(coalesce(nullif(btrim(NEW.user_metadata ->> 'username'), ''), split_part(NEW.email, '@', 1)), 64);
  wanted text := base;
  number integer := 1;
BEGIN
  WHILE EXISTS (SELECT 1 FROM public.profiles WHERE username = wanted) LOOP
    number := number + 1;
    wanted := CASE WHEN number < 1000 THEN base || number ELSE base || '-' || gen_random_uuid() END;
  END LOOP;
  INSERT INTO public.profiles (id, username) VALUES (NEW.id, wanted);
  INSERT INTO public.user_roles (user_id, role) VALUES (NEW.id, 'basic_user');
  RETURN NULL;
END $f$;

-- Whether a person born on a day has had the eighteenth birthday.
CREATE FUNCTION playhouse.is_adult(born date) RETURNS boolean LANGUAGE sql STABLE SET search_path = '' AS $f$
  SELECT coalesce(extract(year FROM today) - extract(year FROM born)
    - CASE WHEN to_char(today, 'MMDD') >= to_char(born, 'MMDD') THEN 0 ELSE 1 END >= 18, false)
  FROM (SELECT (now() AT TIME ZONE 'utc')::date AS today) AS now
$f$;

-- What an account may change of its profile, and what follows from its birth date.
CREATE FUNCTION playhouse.profiles_before() RETURNS trigger LANGUAGE plpgsql SET search_path = '' AS $f$
DECLARE
  is_privileged boolean := playhouse.is_privileged();
  guarded text;
BEGIN
  IF TG_OP = 'INSERT' THEN
    IF NOT is_privileged THEN
      NEW.token_balance := 100;
      NEW.subscription_status := 'inactive';
      NEW.age_verified := false;
      NEW.age_verification_date := NULL;
    END IF;
    IF NEW.birth_date IS NOT NULL THEN
      NEW.age_verified := playhouse.is_adult(NEW.birth_date);
      NEW.age_verification_date := CASE WHEN NEW.age_verified THEN now() END;
    END IF;
    RETURN NEW;
  END IF;
  IF NOT is_privileged THEN
    guarded := CASE
      WHEN NEW.token_balance IS DISTINCT FROM OLD.token_balance THEN 'token_balance'
      WHEN NEW.subscription_status IS DISTINCT FROM OLD.subscription_status THEN 'subscription_status'
      WHEN NEW.birth_date IS DISTINCT FROM OLD.birth_date AND auth.uid() IS DISTINCT FROM NEW.id THEN 'birth_date'
      WHEN NEW.age_verified IS DISTINCT FROM OLD.age_verified
        AND NOT (coalesce(NEW.age_verified, false) AND playhouse.is_adult(NEW.birth_date)) THEN 'age_verified'
      WHEN NEW.age_verification_date IS DISTINCT FROM OLD.age_verification_date THEN 'age_verification_date'
    END;
    IF guarded IS NOT NULL THEN
      RAISE insufficient_privilege USING MESSAGE = format('permission denied for column %s of profiles', guarded);
    END IF;
  END IF;
  IF NEW.birth_date IS DISTINCT FROM OLD.birth_date THEN
    NEW.age_verified := playhouse.is_adult(NEW.birth_date);
    NEW.age_verification_date := CASE WHEN NEW.age_verified THEN now() END;
  ELSIF NEW.age_verified IS DISTINCT FROM OLD.age_verified AND NEW.age_verified THEN
    NEW.age_verification_date := now();
  END IF;
  RETURN NEW;
END $f$;

-- nsfw is for adults and never for a minor; likes are counted by the server.
CREATE FUNCTION playhouse.characters_before() RETURNS trigger LANGUAGE plpgsql SET search_path = '' AS $f$
BEGIN
  IF playhouse.is_account() THEN
    NEW.likes_count := CASE WHEN TG_OP = 'INSERT' THEN 0 ELSE OLD.likes_count END;
  END IF;
  IF NEW.content_rating IS DISTINCT FROM 'nsfw' THEN
    RETURN NEW;
  END IF;
  IF NEW.age_range IN ('child', 'teen') THEN
    RAISE SQLSTATE 'PT422' USING MESSAGE = 'a character whose age_range is a minor''s cannot be rated nsfw';
  END IF;
  IF (TG_OP = 'INSERT' OR OLD.content_rating IS DISTINCT FROM 'nsfw')
    AND NOT playhouse.is_privileged() AND NOT playhouse.is_age_verified() THEN
    RAISE SQLSTATE 'PT422' USING MESSAGE = 'rating a character nsfw needs a verified age';
  END IF;
  RETURN NEW;
END $f$;

CREATE FUNCTION playhouse.likes_after() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $f$
BEGIN
  IF TG_OP = 'INSERT' THEN
    UPDATE public.characters SET likes_count = coalesce(likes_count, 0) + 1 WHERE id = NEW.character_id;
  ELSE
    UPDATE public.characters SET likes_count = greatest(coalesce(likes_count, 0) - 1, 0) WHERE id = OLD.character_id;
  END IF;
  RETURN NULL;
END $f$;

-- Counters that follow the library, of what its author may change.
CREATE FUNCTION playhouse.library_after() RETURNS trigger LANGUAGE plpgsql SET search_path = '' AS $f$
DECLARE
  left_behind uuid := CASE WHEN TG_OP <> 'INSERT' THEN OLD.collection_id END;
  joined uuid := CASE WHEN TG_OP <> 'DELETE' THEN NEW.collection_id END;
  no_portrait uuid := CASE WHEN TG_OP <> 'INSERT' AND OLD.output_type = 'portrait' THEN OLD.character_id END;
  portrait uuid := CASE WHEN TG_OP <> 'DELETE' AND NEW.output_type = 'portrait' THEN NEW.character_id END;
BEGIN
  IF left_behind IS DISTINCT FROM joined THEN
    UPDATE public.user_collections SET asset_count = greatest(coalesce(asset_count, 0) - 1, 0) WHERE id = left_behind;
    UPDATE public.user_collections SET asset_count = coalesce(asset_count, 0) + 1 WHERE id = joined;
  END IF;
  IF no_portrait IS DISTINCT FROM portrait THEN
    UPDATE public.characters SET portrait_count = greatest(coalesce(portrait_count, 0) - 1, 0) WHERE id = no_portrait;
    UPDATE public.characters SET portrait_count = coalesce(portrait_count, 0) + 1 WHERE id = portrait;
  END IF;
  RETURN NULL;
END $f$;

-- One anchor of a character is its primary one, and one canonical output of each type.
CREATE FUNCTION playhouse.primary_after() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $f$
BEGIN
  -- Of several rows of one statement the first stays.
  EXECUTE format('UPDATE public.%1$I AS other SET is_primary = false FROM public.%1$I AS own WHERE own.id = $1'
    || ' AND own.is_primary AND other.is_primary AND other.id <> own.id AND other.character_id = own.character_id'
    || ' AND to_jsonb(other) ->> ''output_type'' IS NOT DISTINCT FROM to_jsonb(own) ->> ''output_type''', TG_TABLE_NAME)
    USING NEW.id;
  RETURN NULL;
END $f$;

-- A new message moves its conversation to the top.
CREATE FUNCTION playhouse.message_after() RETURNS trigger LANGUAGE plpgsql SET search_path = '' AS $f$
BEGIN
  UPDATE public.conversations SET updated_at = now() WHERE id = NEW.conversation_id;
  RETURN NULL;
END $f$;

-- A scene that happens somewhere moves its conversation there.
CREATE FUNCTION playhouse.character_scene_after() RETURNS trigger LANGUAGE plpgsql SET search_path = '' AS $f$
DECLARE setting text := NEW.generation_metadata #>> '{scene_context,setting}';
BEGIN
  IF NEW.conversation_id IS NOT NULL AND setting IS NOT NULL
    AND (TG_OP = 'INSERT' OR OLD.generation_metadata IS DISTINCT FROM NEW.generation_metadata) THEN
    UPDATE public.conversations SET current_location = setting WHERE id = NEW.conversation_id;
  END IF;
  RETURN NULL;
END $f$;

-- How many scenes use a place.
CREATE FUNCTION playhouse.scene_after() RETURNS trigger LANGUAGE plpgsql SET search_path = '' AS $f$
DECLARE
  left_behind uuid := CASE WHEN TG_OP <> 'INSERT' THEN OLD.environment_id END;
  joined uuid := CASE WHEN TG_OP <> 'DELETE' THEN NEW.environment_id END;
BEGIN
  IF left_behind IS DISTINCT FROM joined THEN
    UPDATE public.environment_anchors SET usage_count = greatest(coalesce(usage_count, 0) - 1, 0) WHERE id = left_behind;
    UPDATE public.environment_anchors SET usage_count = coalesce(usage_count, 0) + 1 WHERE id = joined;
  END IF;
  RETURN NULL;
END $f$;

-- The server's own styles stay as they are, and a style that others inherit from stays.
CREATE FUNCTION playhouse.style_before() RETURNS trigger LANGUAGE plpgsql SET search_path = '' AS $f$
BEGIN
  IF OLD.is_system AND playhouse.is_account() AND (TG_OP = 'DELETE' OR NEW IS DISTINCT FROM OLD) THEN
    RAISE SQLSTATE 'PT403' USING MESSAGE = 'a style of the server cannot be changed; clone it instead';
  END IF;
  IF TG_OP = 'DELETE' THEN
    RETURN OLD;
  END IF;
  RETURN NEW;
END $f$;

-- The states of a script: draft, evaluated, approved, active, and rejected.
CREATE FUNCTION playhouse.scripts_before() RETURNS trigger LANGUAGE plpgsql SET search_path = '' AS $f$
DECLARE
  before text := CASE WHEN TG_OP = 'INSERT' THEN 'draft' ELSE coalesce(OLD.status::text, 'draft') END;
  after text := coalesce(NEW.status::text, 'draft');
  is_evaluated boolean := NEW.evaluation_score IS NOT NULL AND btrim(coalesce(NEW.evaluation_feedback, '')) <> '';
  is_changed boolean := true;
  is_moved boolean := true;
  reason text;
BEGIN
  IF NEW.evaluation_score NOT BETWEEN 0 AND 100 THEN
    RAISE check_violation USING MESSAGE = format('evaluation_score: %s is not within 0 to 100', NEW.evaluation_score);
  END IF;
  IF TG_OP = 'UPDATE' THEN
    is_changed := (NEW.evaluation_score, NEW.evaluation_feedback, NEW.evaluation)
      IS DISTINCT FROM (OLD.evaluation_score, OLD.evaluation_feedback, OLD.evaluation);
    is_moved := (NEW.chapter_id, NEW.user_id, NEW.script_style)
      IS DISTINCT FROM (OLD.chapter_id, OLD.user_id, OLD.script_style);
    IF before <> 'draft' AND (NEW.script IS DISTINCT FROM OLD.script OR is_moved) THEN
      RAISE EXCEPTION 'script: only a draft is changed in place or moved, and this script is %', before;
    END IF;
  END IF;
  reason := CASE
    WHEN before = after AND NOT (after = 'evaluated' AND is_changed AND TG_OP = 'UPDATE') THEN NULL
    WHEN (before, after) NOT IN (('draft', 'evaluated'), ('draft', 'rejected'), ('evaluated', 'evaluated'),
      ('evaluated', 'approved'), ('evaluated', 'rejected'), ('approved', 'active'), ('approved', 'rejected'),
      ('rejected', 'draft'), ('active', 'approved')) THEN 'there is no such transition'
    WHEN after = 'evaluated' AND NOT (is_evaluated AND is_changed) THEN
      'it takes evaluation_score and evaluation_feedback in the same call'
    WHEN before = 'evaluated' AND after = 'approved' AND NEW.evaluation_score IS NULL THEN
      'what has no evaluation_score is not approved'
  END;
  IF reason IS NOT NULL THEN
    RAISE SQLSTATE 'PT409' USING MESSAGE = format('status: %s to %s: %s', before, after, reason),
      DETAIL = jsonb_build_object('from', before, 'to', after)::text;
  END IF;
  IF before = 'rejected' AND after = 'draft' THEN
    NEW.evaluation_score := NULL;
    NEW.evaluation_feedback := NULL;
    NEW.evaluation := '{}';
  ELSIF after NOT IN ('evaluated', 'rejected') AND is_changed
    AND (TG_OP = 'UPDATE' OR NEW.evaluation_score IS NOT NULL OR NEW.evaluation_feedback IS NOT NULL) THEN
    RAISE EXCEPTION 'evaluation_score: an evaluation goes with status evaluated';
  END IF;
  NEW.status := after::public.script_status;
  IF is_moved THEN
    -- One after the other, so that no two get the same number.
    PERFORM pg_advisory_xact_lock(hashtextextended(concat_ws('/', NEW.chapter_id, NEW.user_id, NEW.script_style), 0));
    SELECT greatest(coalesce(max(version), 0), 0) + 1 INTO NEW.version FROM public.scripts
      WHERE chapter_id = NEW.chapter_id AND user_id = NEW.user_id AND script_style = NEW.script_style AND id <> NEW.id;
    IF btrim(coalesce(NEW.script_name, '')) = '' THEN
      NEW.script_name := coalesce(nullif(btrim(translate(NEW.script_style, '_-', '  ')), ''), 'Script');
      NEW.script_name := upper(left(NEW.script_name, 1)) || substr(NEW.script_name, 2) || ' '
        || lpad(NEW.version::text, greatest(3, length(NEW.version::text)), '0');
    END IF;
  ELSE
    NEW.version := OLD.version;
  END IF;
  IF after = 'active' AND before <> 'active' THEN
    UPDATE public.scripts SET status = 'approved' WHERE chapter_id = NEW.chapter_id AND user_id = NEW.user_id
      AND script_style = NEW.script_style AND status = 'active' AND id <> NEW.id;
  END IF;
  RETURN NEW;
END $f$;

CREATE FUNCTION playhouse.scripts_before_delete() RETURNS trigger LANGUAGE plpgsql SET search_path = '' AS $f$
BEGIN
  IF playhouse.is_account() AND OLD.status = 'active' THEN
    RAISE SQLSTATE 'PT409' USING
      MESSAGE = 'the script is active; it is deleted after another is activated, or by force';
  END IF;
  RETURN OLD;
END $f$;

CREATE TRIGGER new_account AFTER INSERT ON playhouse_auth.users FOR EACH ROW EXECUTE FUNCTION playhouse.new_account();
CREATE TRIGGER rules BEFORE INSERT OR UPDATE ON public.profiles FOR EACH ROW EXECUTE FUNCTION playhouse.profiles_before();
CREATE TRIGGER rules BEFORE INSERT OR UPDATE ON public.characters FOR EACH ROW EXECUTE FUNCTION playhouse.characters_before();
CREATE TRIGGER likes AFTER INSERT OR DELETE ON public.character_likes FOR EACH ROW EXECUTE FUNCTION playhouse.likes_after();
CREATE TRIGGER counters AFTER INSERT OR UPDATE OR DELETE ON public.user_library
  FOR EACH ROW EXECUTE FUNCTION playhouse.library_after();
CREATE TRIGGER primaries AFTER INSERT OR UPDATE ON public.character_anchors
  FOR EACH ROW WHEN (NEW.is_primary) EXECUTE FUNCTION playhouse.primary_after();
CREATE TRIGGER primaries AFTER INSERT OR UPDATE ON public.character_canon
  FOR EACH ROW WHEN (NEW.is_primary) EXECUTE FUNCTION playhouse.primary_after();
CREATE TRIGGER conversation AFTER INSERT ON public.messages FOR EACH ROW EXECUTE FUNCTION playhouse.message_after();
CREATE TRIGGER conversation AFTER INSERT OR UPDATE ON public.character_scenes
  FOR EACH ROW EXECUTE FUNCTION playhouse.character_scene_after();
CREATE TRIGGER places AFTER INSERT OR UPDATE OR DELETE ON public.scenes
  FOR EACH ROW EXECUTE FUNCTION playhouse.scene_after();
CREATE TRIGGER rules BEFORE UPDATE OR DELETE ON public.style_presets
  FOR EACH ROW EXECUTE FUNCTION playhouse.style_before();
CREATE TRIGGER rules BEFORE INSERT OR UPDATE ON public.scripts FOR EACH ROW EXECUTE FUNCTION playhouse.scripts_before();
CREATE TRIGGER kept BEFORE DELETE ON public.scripts FOR EACH ROW EXECUTE FUNCTION playhouse.scripts_before_delete();
